"""The table of faults names code and tests that are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "benchmarks" / "results" / "faults.md").read_text()


def test_every_row_names_code_and_tests_that_exist():
    rows = [line for line in TABLE.splitlines() if "::" in line]
    assert len(rows) > 50
    known = {}
    for row in rows:
        code = re.findall(r"`([\w/]+\.py)`", row)
        assert code, row
        assert all((ROOT / "src" / "demist" / file).is_file() for file in code), row
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row):
            if file not in known:
                tree = ast.parse((ROOT / file).read_text())
                known[file] = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
            assert name in known[file], f"{file} has no {name}"
