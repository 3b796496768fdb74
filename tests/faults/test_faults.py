"""The fault tests in short; each file beside this one is the long form, a command with a count."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(name, *arguments):
    """What a harness found, in a process of its own: some of them fork."""
    command = [sys.executable, str(HERE / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.stdout, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, (facts, done.stderr)
    return facts


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has loaded torch")
def test_kill_minus_nine_at_sixty_random_moments():
    facts = run("kill", 60)
    assert facts["kills"] == 60
    assert facts["while_saving"] >= 3
    assert facts["wrong"] == facts["errors"] == facts["left_over"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has loaded torch")
def test_kill_minus_nine_in_each_stage_of_a_run():
    facts = run("kill_stages", 40)
    assert facts["kills"] == 40
    assert min(facts["codec"], facts["model"]) >= 5
    assert facts["wrong"] == facts["errors"] == facts["left_over"] == 0


def test_five_hundred_damaged_checkpoints():
    facts = run("damage", 500)
    assert facts["wrong"] == facts["tracebacks"] == facts["trapped"] == 0
    assert facts["fell_back"] > 200


def test_power_cuts():
    facts = run("power", 30)
    assert facts["cuts"] >= 300
    assert facts["wrong"] == 0
    assert min(facts["new"], facts["old"]) > 50


@pytest.mark.skipif(sys.platform != "linux", reason="forks a process that has loaded torch")
def test_one_two_and_four_processes_train_the_same():
    facts = run("parallel")
    assert set(facts["exact"].values()) == {True}
    assert len(facts["exact"]) == 7
    assert max(facts["close"].values()) <= 1e-5
    assert len(facts["close"]) == 10
    assert 0.4 < min(facts["shares"]) <= max(facts["shares"]) < 0.6


def test_bad_pictures_and_mutants():
    facts = run("images", 300)
    assert (facts["kinds"], facts["kinds_decoded"], facts["listed"]) == (27, 0, 27)
    assert facts["wrong"] == 0
    assert facts["folder_right"]
    assert facts["decoded"] > 30


def test_sixteen_hundred_mutants_of_models_runs_and_data():
    facts = run("hostile", 1600)
    assert facts["internal"] == facts["hangs"] == facts["other"] == facts["trapped"] == 0
    assert min(facts["refused"], facts["harmless"]) > 300


def test_mutants_of_published_files():
    facts = run("published", 300)
    assert facts["internal"] == facts["hangs"] == facts["trapped"] == 0
    assert min(facts["refused"], facts["read"]) > 50
