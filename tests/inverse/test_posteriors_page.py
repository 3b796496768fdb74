"""The page on methods: its program runs, its table is made from the classes, its names exist."""

import re
import runpy
from pathlib import Path

from demist.inverse import METHODS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "posteriors.md").read_text()


def test_the_table_is_made_from_the_classes():
    made = runpy.run_path(str(ROOT / "docs" / "make_posteriors.py"))
    assert made["page"]() == PAGE, "run python docs/make_posteriors.py"
    assert all(f"| `{name}` |" in PAGE for name in METHODS.names())


def test_the_program_of_the_page_finds_the_second_number(capsys):
    names: dict = {}
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(program, names)
    assert capsys.readouterr().out.startswith("tensor(")
    assert (names["point"].x[:, 1] - 1).abs().max() < 0.5


def test_docstrings_name_tests_that_exist():
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "inverse").glob("test_*.py"))
    for name in METHODS.names():
        doc = type(METHODS.make(name)).__doc__ or ""
        for claim in re.findall(r"\btest_\w+", doc):
            assert f"def {claim}(" in tests, f"{name}: {claim}"
