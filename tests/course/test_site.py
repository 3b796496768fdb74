"""How pages are laid out; that they build is `make docs`."""

import importlib.util
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site():
    """`docs/site/build.py`, which runs without Sphinx up to its last line."""
    if "sphinx" not in sys.modules:
        for name in ("sphinx", "sphinx.cmd", "sphinx.cmd.build"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["sphinx.cmd.build"].main = lambda argv: 0
        made = True
    else:
        made = False
    sys.path.insert(0, str(ROOT / "docs" / "site"))  # as Python does for the program that it runs
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "docs" / "site" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "docs" / "site"))
    if made:
        for name in ("sphinx", "sphinx.cmd", "sphinx.cmd.build"):
            del sys.modules[name]


def test_links_lead_to_pages_or_are_words(site):
    names = {"docs/a.md", "docs/images/b.png"}
    cases = {
        "[a](a.md#part)": "[a](a.md#part)",
        "[a](../docs/a.md)": "[a](../docs/a.md)",
        "[code](../src/demist/cli.py)": "code",
        "![b](images/b.png)": "![b](images/b.png)",
        "![b](images/c.png)": "(b)",
        "[paper](https://a.b/c)": "[paper](https://a.b/c)",
        "[here](#below)": "[here](#below)",
    }
    assert {text: site.linked(text, "docs/c.md", names) for text in cases} == cases


def test_an_exercise_stands_above_its_folded_solution(site):
    source = (
        '# %% tags=["exercise"]\ndef f(x):\n    """Twice."""\n    # <solution>\n    return 2 * x\n'
        "    # </solution>\n\n# %%\nf(2)\n"
    )
    page = site.page_of(source, "course/1_x.py", set())
    asked, solved = page.split('# %% tags=["hide-input"]')
    assert "return 2 * x" not in asked
    assert "# ```python\n# def f(x):" in asked
    assert "    return 2 * x\n" in solved
    assert "solution>" not in page
    assert page.endswith("# %%\nf(2)\n\n")


def test_programs_are_no_links(site):
    code = "judge[:4](x)"
    assert site.linked(f"```\n{code}\n```\n[a](b.md)", "c.md", set()) == f"```\n{code}\n```\na"
    source = f"# %%\n{code}\n\n# %% [markdown]\n# See [a](b.md).\n"
    page = site.page_of(source, "course/1_x.py", set())
    assert code in page
    assert "# See a." in page


def test_the_site_has_every_page_and_every_public_name(site, tmp_path):
    site.lay_out(tmp_path, None)
    index = (tmp_path / "index.md").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert f"docs/{path.stem}\n" in index, f"docs/site/index.md does not list {path.name}"
        assert (tmp_path / "docs" / path.name).is_file()
    chapters = (tmp_path / "course" / "index.md").read_text()
    for path in (ROOT / "course").glob("[0-9e]*_*.py"):  # chapters and electives
        assert f"\n{path.stem}\n" in chapters
    for path in (ROOT / "course").glob("*.md"):
        if path.stem not in ("index", "README"):
            assert f"\n{path.stem}\n" in chapters
            assert (tmp_path / "course" / path.name).is_file()
    assert "full" not in chapters.split("```{toctree}")[1]
    samplers = (tmp_path / "reference" / "demist.samplers.rst").read_text()
    assert ".. autoclass:: demist.samplers.DDIM\n   :members:" in samplers
    from demist import core

    page = (tmp_path / "reference" / "demist.core.rst").read_text()
    assert all(name in page for name in core.__all__)


def test_a_constant_is_described_by_what_stands_below_it(site):
    assert site.written("demist.course", "COLOURS").startswith("What each colour means")
    assert site.written("demist.course", "nothing") == ""


def test_faults_of_pages_are_found(site, tmp_path):
    (tmp_path / "b.html").write_text("<p id='part'>here</p>")
    good = '<a href="b.html#part">b</a><a href="https://a.b/c">paper</a><img src="data:," alt="x">'
    (tmp_path / "a.html").write_text(good)
    assert site.faults(tmp_path) == []
    bad = (
        '<a href="c.html">c</a><a href="b.html#other">b</a><script src="https://a.b/c.js"></script>'
        '<img src="data:,">'
    )
    (tmp_path / "a.html").write_text(good + bad)
    assert site.faults(tmp_path) == [
        "a.html asks https://a.b/c.js",
        "a.html has 1 pictures without words",
        "a.html links to c.html, which is not there",
        "a.html links to b.html#other, which is not there",
    ]
