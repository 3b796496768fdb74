"""Evaluation, comparison and likelihood as functions: what the command writes, and nothing left."""

import json
import shutil
from pathlib import Path

import pytest

import demist
from demist import runs
from demist.cli import main
from demist.errors import UsageError
from demist.measuring.candidate import open_candidate
from demist.model.sampling import Sampling

TINY = "--steps 2 --width 8 --depth 1 --batch-size 8 --sample-count 0 --precision fp32"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(f"train eight {TINY}".split()) == 0
        assert main(f"train eight {TINY} --seed 1".split()) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


FEW = {"n": 40, "seeds": 2, "sampling": Sampling(steps=2, solver="ddim", seed=3)}
LINE = "--n 40 --seeds 2 --steps 2 --solver ddim --seed 3"


def test_the_function_gives_what_the_command_writes():
    report = demist.evaluate("1", **FEW)
    assert not list(Path("runs").glob("*/evaluation*"))  # no samples are left
    assert main(f"evaluate 1 {LINE}".split()) == 0
    folder = runs.find("1").path
    written = json.loads((folder / "evaluation.json").read_text())
    assert written.pop("command").startswith("demist evaluate 1 --n 40")
    assert written.pop("seconds") > 0
    assert json.loads(json.dumps(report.to_json())) == written
    assert (folder / "evaluation.md").read_text() == f"# {folder.name}\n{report}"
    metrics = written["report"]["metrics"]
    assert all(report.value(name) == metrics[name]["value"] for name in metrics)
    assert written["report"]["protocol"]["seeds"] == [3, 4]


def test_a_comparison_holds_both_and_their_differences():
    both = demist.compare(runs.find("1"), "2", **FEW)
    assert main(f"evaluate 1 --against 2 {LINE}".split()) == 0
    written = json.loads((runs.find("1").path / "evaluation.json").read_text())
    del written["command"], written["seconds"]
    against = written.pop("against")
    assert json.loads(json.dumps(both.first.to_json())) == written
    assert json.loads(json.dumps(both.second.to_json())) == against
    assert "95 % interval" in both.table()
    assert (runs.find("1").path / "evaluation.md").read_text() == str(both)
    assert both.first.report != both.second.report


def test_recorded_steps_are_those_taken():
    """Three times are two steps, whatever number the model's defaults have."""
    how = Sampling(grid=(1.0, 0.4, 0.0), solver="ddim")
    found = demist.evaluate(open_candidate("1"), n=40, seeds=2, sampling=how)
    assert found.sampling["steps"] == 2
    assert found.sampling["grid"] == [1.0, 0.4, 0.0]


def test_what_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="seeds = 0: give 1, or for a spread 2"):
        demist.evaluate("1", seeds=0)
    with pytest.raises(UsageError, match="give one, not several"):
        demist.evaluate("1", n=4, sampling=Sampling(seed=(1, 2)))
