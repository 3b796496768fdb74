"""What the log says of stable targets is what was measured."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("stable_targets")


@pytest.fixture
def rows(program):
    return json.loads(program.RESULTS.read_text())


def test_the_table_is_made_of_the_results(program, rows):
    assert program.RESULTS.with_suffix(".md").read_text() == program.table(rows)


def test_the_log_has_the_figures(program, rows):
    log = " ".join((BENCHMARKS / "LOG.md").read_text().split())
    reported = {
        (row["number"], row["count"], row["steps"]): row for row in rows if row["number"] >= 97
    }
    numbers = sorted({number for number, *_ in reported})
    assert len(numbers) == 12

    def ratios(steps):
        return np.array(
            [reported[n, 1024, 1500]["error"] / reported[n, 0, steps]["error"] for n in numbers]
        )

    few = np.array([int(reported[n, 0, 1500]["name"].split(", ")[1][:-2]) <= 64 for n in numbers])
    assert (few.sum(), np.median(ratios(1500)).round(2)) == (8, 0.75)
    slower = ratios(2040)
    said = [f"{x:.2f}" for x in (np.median(slower[few]), slower[few].min(), slower[few].max())]
    assert "{} ({} to {}) on the eight of at most 64".format(*said) in log
    assert f"and {np.median(slower[~few]):.1f} on the four of more" in log
    longer = [reported[n, 1024, 1500]["seconds"] / reported[n, 0, 2040]["seconds"] for n in numbers]
    assert 0.8 < np.median(longer) < 1.1
