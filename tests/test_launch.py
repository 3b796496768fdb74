"""The supervisor: it starts again after a failure, and stops when there is no progress."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from demist import checkpoint, runs
from demist.commands.launch import Options, _Launch, stoppable, supervise

LINE = "train eight --width 8 --depth 1 --batch-size 8 --sample-count 0 --save-every 20"


def history(codes, progress, tries=3, stop_at=None):
    """Pauses and the final code for a command that ends with `codes`."""
    codes, progress, pauses = iter(codes), iter([0, *progress]), []

    def wait(seconds):
        pauses.append(seconds)
        return len(pauses) == stop_at

    return supervise(lambda: next(codes), lambda: next(progress), tries, 5.0, wait), pauses


def test_back_off_and_no_progress():
    assert history([0], []) == (0, [])
    assert history([75, 0], [1]) == (0, [5])
    assert history([75, 74, 70, 0], [0, 0, 0], tries=9) == (0, [5, 10, 20])
    assert history([75, 75, 75], [0, 0, 0]) == (75, [5, 10])
    # A new checkpoint between failures makes the count begin again.
    assert history([75, 75, 75, 75, 0], [1, 1, 2, 3]) == (0, [5, 10, 5, 5])
    assert history([75] * 20, [0] * 20, tries=12)[1][-2:] == [300, 300]
    for code in (64, 65, 66, 69, 73, 77):
        assert history([code], []) == (code, [])
    assert history([75, 75], [0], stop_at=1) == (75, [5])


@pytest.mark.parametrize(
    ("left", "ends", "state", "expected"),
    [
        ({}, 0, "done", 0),
        ({}, 1, "stopped", 0),  # torchrun, after its workers stopped in good order
        ({0: 0, 1: 0}, 1, "done", 0),
        ({}, 1, None, 75),  # nobody could say why: a worker was killed
        ({}, -9, None, 75),
        ({1: 75}, 1, None, 75),
        ({1: 74, 0: 70}, 1, "failed", 70),
        ({0: 70, 1: 65}, 1, "failed", 65),  # what lasts counts more than what follows from it
        ({}, 64, None, 64),
        ({0: 75}, 0, None, 75),
    ],
)
def test_how_the_ends_of_workers_become_one(tmp_path, monkeypatch, left, ends, state, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "codes").mkdir()
    with stoppable() as stop:
        made = _Launch(Options(processes=2), ["eight", "--steps", "5"], tmp_path / "codes", stop)
        run = runs.create("runs", "eight")
        runs.begin(run, made.asked.settings, ["demist"])
        run.write_status("running")
        worker = "import os, sys\nfrom pathlib import Path\nfrom demist.runs import Run\n"
        worker += "from demist.processes import leave_code\n"
        for rank, code in left.items():
            worker += f"os.environ['RANK'] = '{rank}'\nleave_code({code})\n"
        if state:
            worker += f"Run(Path({str(run.path)!r})).write_status({state!r})\n"
        worker += "os.kill(os.getpid(), 9)" if ends < 0 else f"sys.exit({ends})"
        monkeypatch.setattr(made, "_line", lambda: [sys.executable, "-c", worker])
        assert made.once() == expected


def launch(folder, *arguments, **more):
    command = [sys.executable, "-m", "demist", "launch", *arguments]
    return subprocess.Popen(
        command, cwd=folder, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **more
    )


def ended(child):
    """Exit code, and what was said on both channels."""
    out, err = child.communicate(timeout=300)
    return child.returncode, out, err


def wait_for(condition):
    end = time.monotonic() + 300
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def trainers(folder):
    """Process ids that train in `folder`, parents first."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            here = os.readlink(place / "cwd") == str(folder)
        except OSError:
            continue
        others = {b"launch", b"torch.distributed.run"}
        if here and b"train" in words and not others.intersection(words):
            found.append(int(place.name))
    return sorted(found)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_processes_one_of_which_is_killed(tmp_path):
    """It goes on from the newest checkpoint, and the weights are those of an undisturbed run."""
    folder = tmp_path.resolve()
    line = [*LINE.split(), "--steps", "400", "--decay", "constant"]
    child = launch(folder, "--processes", "2", "--pause", "1s", *line, "--name", "killed")
    saved = folder / "runs/0001-killed/checkpoints"
    wait_for(lambda: len(checkpoint.steps(saved)) >= 2 and len(trainers(folder)) == 2)
    os.kill(trainers(folder)[1], signal.SIGKILL)
    code, out, err = ended(child)
    assert code == 0, err
    assert "starting again in 1 seconds" in err
    assert re.search(r"resuming runs/0001-killed after step [1-9]", err)
    assert "is done" in out

    assert ended(launch(folder, "--processes", "2", *line, "--name", "whole"))[0] == 0
    found = [
        checkpoint.load(runs.find(number, folder / "runs").checkpoints / "step-00000400").parts
        for number in "12"
    ]
    for part in checkpoint.PARTS:
        for name, value in found[0][part].items():
            assert torch.equal(value, found[1][part][name])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopping_and_dying(tmp_path):
    """SIGTERM to the supervisor is a clean stop with exit code 0; kill -9 leaves nobody behind."""
    folder = tmp_path.resolve()
    line = [*LINE.split(), "--steps", "1000000"]
    saved = folder / "runs/0001-eight/checkpoints"
    child = launch(folder, "--processes", "2", *line)
    wait_for(lambda: checkpoint.steps(saved))
    child.send_signal(signal.SIGTERM)
    code, _, err = ended(child)
    assert code == 0, err
    assert runs.find("1", folder / "runs").status()["state"] == "stopped"

    child = launch(folder, "--processes", "2", *line)
    before = checkpoint.steps(saved)[-1]
    wait_for(lambda: checkpoint.steps(saved)[-1] > before and len(trainers(folder)) == 2)
    child.kill()
    ended(child)
    wait_for(lambda: not trainers(folder))
    assert runs.find("1", folder / "runs").status()["state"] == "killed"


def test_what_would_fail_again_is_not_tried_again(tmp_path):
    code, _, err = ended(launch(tmp_path, "--pause", "1s", "train", "nowhere"))
    assert code == 66
    assert "starting again" not in err
    code, _, err = ended(
        launch(tmp_path, "--processes", "2", "train", "eight", "--batch-size", "7")
    )
    assert code == 64
    assert "cannot be shared equally by 2 processes" in err
    assert ended(launch(tmp_path, "--tries", "0", "train"))[0] == 64
