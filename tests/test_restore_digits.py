"""The rows of `benchmarks/restore_digits.py`: which stay, and what the page says of them."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The module, whose rows are told and not drawn, with two rows of 16 digits kept."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import restore_digits

    monkeypatch.setattr(restore_digits, "RESULTS", tmp_path)
    monkeypatch.setattr(restore_digits, "KEPT", tmp_path / "restore_digits.json")
    for name in ("digits", "judge", "open_model"):
        monkeypatch.setattr(restore_digits, name, lambda *_: (None, None))
    monkeypatch.setattr(restore_digits.demist, "load", lambda *_, **__: None)
    monkeypatch.setattr(restore_digits, "row", lambda *_: dict(NUMBERS))
    restore_digits.save({"rows": [row("half", "ddnm", 16), row("sr", "ddnm", 16)]})
    yield restore_digits
    sys.modules.pop("restore_digits")


NUMBERS = {
    "right": 0.5, "interval": 0.1, "misfit": 1.0, "misfit_median": 1.0, "evaluations": 40.0,
    "gradients": 0.0, "seconds": 0.1, "spread_over_error": 1.0,
}  # fmt: skip


def row(problem, method, digits):
    said = {"split": "test", "problem": problem, "method": method, "digits": digits}
    return {**said, "samples": 2, "steps": 40, "machine": "here", **NUMBERS}


def rows(module):
    return {(r["problem"], r["method"], r["digits"]) for r in module.load()["rows"]}


def test_a_row_takes_the_place_of_the_same_with_fewer_digits(made):
    made.main(["--digits", "64", "--problems", "half", "--methods", "ddnm", "ddrm"])
    assert rows(made) == {("half", "ddnm", 64), ("half", "ddrm", 64), ("sr", "ddnm", 16)}
    page = (made.RESULTS / "restore_digits.md").read_text()
    assert (
        page.count("| ddnm, 40 steps | 64 x 2 | 50.0% +- 10.0% | 1.00 | 1 (1.00) | 40 + 0 |") == 1
    )
    assert page.count("| ddnm, 40 steps | 16 x 2 |") == 1


def test_rows_are_dropped_by_name_split_and_problem(made):
    made.main(["--methods", "--forget", "ddnm", "--split", "train"])
    assert len(rows(made)) == 2
    made.main(["--methods", "--forget", "ddnm", "--problems", "half"])
    assert rows(made) == {("sr", "ddnm", 16)}
    assert "16 x 2" in (made.RESULTS / "restore_digits.md").read_text()


def test_rows_that_another_run_made_meanwhile_stay(made, monkeypatch):
    def slow(*_):
        kept = made.load()
        made.save({"rows": [*kept["rows"], row("random", "fps", 64)]})
        return dict(NUMBERS)

    monkeypatch.setattr(made, "row", slow)
    made.main(["--digits", "64", "--problems", "sr", "--methods", "ddnm"])
    assert rows(made) == {("half", "ddnm", 16), ("sr", "ddnm", 64), ("random", "fps", 64)}


def test_the_page_is_that_of_the_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import restore_digits

    kept = json.loads((BENCHMARKS / "results" / "restore_digits.json").read_text())
    assert (BENCHMARKS / "results" / "restore_digits.md").read_text() == restore_digits.page(kept)
    sys.modules.pop("restore_digits")
