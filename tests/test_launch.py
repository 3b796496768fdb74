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
from torch.distributed.run import get_args_parser

from demist import runs
from demist.commands import train
from demist.commands.launch import Options, Stop, _Launch, stoppable, supervise
from demist.model import LearnedCodec
from demist.runs import checkpoint

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


@pytest.mark.slow
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
        worker += "from demist.machine.processes import leave_code\n"
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("more", ["kl", "tiny", "kl --adversarial 0.5 --adversarial-start 0.3"])
def test_autoencoders_of_two_processes_are_those_of_one(tmp_path, more):
    line = (
        "train digits --recipe autoencoder --channels-per-level 8 8 --norm-groups 2 --downsample 2 "
        f"--batch-size 8 --steps 4 --budget none --sample-count 0 --threads 1 --codec {more}"
    ).split()
    for count in "12":
        code, _, err = ended(launch(tmp_path, "--processes", count, *line, "--name", "coder"))
        assert code == 0, err
    one, two = (LearnedCodec.from_run(runs.find(n, tmp_path / "runs")).codec.net for n in "12")
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, rtol=0, atol=5e-5)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopping_and_dying(tmp_path):
    """A signal to the supervisor is a clean stop with exit code 0; kill -9 leaves nobody behind."""
    folder = tmp_path.resolve()
    line = [*LINE.split(), "--steps", "1000000"]
    saved = folder / "runs/0001-eight/checkpoints"
    child = launch(folder, "--processes", "2", *line)
    wait_for(lambda: checkpoint.steps(saved))
    child.send_signal(signal.SIGUSR1)  # passed on as SIGTERM
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


@pytest.mark.slow
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


def test_signals_are_passed_on_as_torchrun_understands_them():
    class Child:
        def __init__(self):
            self.told = []
            self.send_signal = self.told.append

    stop = Stop()
    stop.child = Child()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        stop.receive(number)
    assert stop.child.told == [signal.SIGINT, signal.SIGTERM, signal.SIGTERM]
    assert stop


FAKES = {
    "srun": 'exec "$@"',
    "torchrun": """
        printf '%s\\n' "$@" > arguments
        trap 'echo saved >> log; exit 1' TERM
        echo $$ > pid
        for i in $(seq 600); do [ -e done ] && exit 0; sleep 0.05; done
        exit 3""",
    "scancel": 'echo "scancel $*" >> log; kill -TERM "$(cat pid)"',
    "scontrol": 'if [ "$1" = show ]; then printf "n1\\nn2\\n"; else echo "$*" >> log; fi',
}
"""What the script for Slurm calls; `torchrun` saves when told to, as the real one's workers do."""


@pytest.mark.skipif(sys.platform != "linux", reason="needs bash")
@pytest.mark.parametrize(
    ("told", "code", "log"),
    [
        (signal.SIGUSR1, 1, ["scancel --signal=TERM 7", "saved", "requeue 7"]),
        (signal.SIGTERM, 1, ["saved"]),
        (None, 0, []),
    ],
)
def test_the_script_for_slurm(tmp_path, told, code, log):
    """That of the documents, with the programs that it calls replaced."""
    page = (Path(__file__).parents[1] / "docs/nothing-is-lost.md").read_text()
    (tmp_path / "job").write_text("#!/bin/bash" + page.split("#!/bin/bash")[1].split("```")[0])
    for name, script in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    places = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_NNODES": "4", "SLURM_JOB_ID": "7"}
    places["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    child = subprocess.Popen(["bash", "job"], cwd=tmp_path, env=places)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    if told is None:
        (tmp_path / "done").touch()
    else:
        child.send_signal(told)
    if told == signal.SIGTERM:  # which Slurm sends to all
        time.sleep(0.3)
        assert child.poll() is None
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    assert child.wait(60) == code
    assert (tmp_path / "log").read_text().splitlines() == log if log else not told
    given = (tmp_path / "arguments").read_text().split()
    options = get_args_parser().parse_args(given)
    assert (options.nnodes, options.nproc_per_node, options.rdzv_endpoint) == ("4", "8", "n1:29500")
    assert options.training_script == "demist"
    assert options.training_script_args[0] == "train"
    asked = train.parse(options.training_script_args[1:]).settings
    assert (asked.data.path, asked.limits.steps) == ("/data/photos", 400_000)
