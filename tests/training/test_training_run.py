import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny import CONFIG, one_thread, pictures, points  # noqa: F401

from demist import runs
from demist.config import update
from demist.errors import (
    CannotCreateError,
    DataError,
    LockedError,
    NotFiniteError,
    StorageError,
    UsageError,
)
from demist.model.pipeline import Pipeline
from demist.runs import checkpoint
from demist.training import run as run_module
from demist.training.batches import Batches
from demist.training.interrupt import Interrupt, interruptible
from demist.training.plan import plan
from demist.training.progress import Progress, clock_face
from demist.training.run import Cadence, train


@pytest.fixture
def config(tmp_path):
    return update(CONFIG, {"runs": str(tmp_path / "runs")})


def interrupt_after(monkeypatch, step, what=signal.SIGINT):
    """Send this process a signal in the middle of step `step`."""
    real = run_module.fit

    def fit(*args, **kwargs):
        for state in real(*args, **kwargs):
            if state.step == step:
                os.kill(os.getpid(), what)
            yield state

    monkeypatch.setattr(run_module, "fit", fit)


def weights(run):
    return checkpoint.load_newest(run.checkpoints, pytest.fail, repair=False).parts


def assert_same_weights(a, b):
    a, b = weights(a), weights(b)
    for part in checkpoint.PARTS:
        assert a[part].keys() == b[part].keys()
        for name, value in a[part].items():
            assert torch.equal(value, b[part][name]), (part, name)


def test_the_run_folder(config):
    config = update(config, {"log_every": "2"})
    run = train(config, data=pictures(), command=["demist", "train", "x"], quiet=True)
    assert run.path.name == "0001-tiny"
    status = run.status()
    assert (status["state"], status["step"], status["images"]) == ("done", 6, 48)
    assert status["progress"] == 1.0
    assert run.config() == config
    assert (run.path / "command.txt").read_text() == "demist train x\n"
    assert json.loads((run.path / "environment.json").read_text())["threads"] >= 1
    rows = runs.read_metrics(run.metrics)
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert rows[-1].keys() >= {"loss", "grad_norm", "lr", "images", "seconds", "images_per_second"}
    assert checkpoint.steps(run.checkpoints) == [6]
    with Image.open(run.image(6)) as picture:
        assert picture.size[0] > 8
    summary = json.loads((run.path / "summary.json").read_text())
    assert (summary["steps"], summary["items"], summary["classes"]) == (6, 20, 3)
    assert summary["peak_memory_mb"] > 100
    assert (run.path / "loss.png").exists()
    model = Pipeline.load(run.model)
    assert model.facts["step"] == 6
    assert torch.equal(model.denoiser.net.conv_in.weight, weights(run)["ema"]["conv_in.weight"])
    assert not [path for path in run.path.rglob("*") if path.name.startswith((".writing", ".tmp"))]


def test_waiting_for_data_is_told(config, monkeypatch):
    make = Batches._make

    def slowly(batches, step):
        time.sleep(0.05)
        return make(batches, step)

    monkeypatch.setattr(Batches, "_make", slowly)
    config = update(config, {"log_every": "1", "sample_count": 0})
    run = train(update(config, {"steps": 4}), data=pictures(), quiet=True)
    last = runs.read_metrics(run.metrics)[-1]
    assert 4 * 0.05 <= last["waiting"] * last["seconds"] * 1.01 < last["seconds"] * 1.01
    # Gone on with, it is the share of the time since then.
    train(update(config, {"steps": 6}), run, resume=True, data=pictures(), quiet=True)
    more = runs.read_metrics(run.metrics)[-1]
    span = more["seconds"] - last["seconds"]
    assert 2 * 0.05 <= more["waiting"] * span * 1.01 < span * 1.01
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["waiting_for_data"] == more["waiting"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_interrupted_and_resumed_is_the_same_as_never_interrupted(
    config, monkeypatch, capsys, number
):
    handler = signal.getsignal(signal.SIGINT)
    config = update(config, {"log_every": "2"})
    whole = train(config, data=pictures(), quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3, number)
        run = train(config, data=pictures())
    status = run.status()
    assert (status["state"], status["step"]) == ("stopped", 3)
    assert signal.Signals(number).name in status["message"]
    assert f"demist train --resume {run.path}" in capsys.readouterr().err
    assert not run.model.exists()
    again = train(run.config(), run, resume=True, data=pictures(), quiet=True)
    assert again == run
    assert run.status()["state"] == "done"
    assert_same_weights(whole, run)
    assert [row["step"] for row in runs.read_metrics(run.metrics)] == [2, 4, 6]
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.slow
def test_kill_minus_nine_and_the_same_command_again(config, tmp_path):
    """Metrics beyond the checkpoint are written anew, and the weights are the same."""
    config = update(config, {"steps": 12, "save_every": "4", "log_every": "1", "sample_count": 0})
    whole = train(config, data=pictures(), quiet=True)
    code = (
        "import os, pathlib, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "saved = pathlib.Path(sys.argv[3], '0002-tiny/checkpoints/step-00000004')\n"
        "from tiny import pictures\n"
        "from demist.config import load_toml\n"
        "from demist.training import run as module\n"
        "real = module.fit\n"
        "def fit(*a, **k):\n"
        "    for state in real(*a, **k):\n"
        "        while state.step == 7 and not saved.exists(): time.sleep(0.01)\n"
        "        if state.step == 7: os.kill(os.getpid(), 9)\n"
        "        yield state\n"
        "module.fit = fit\n"
        "import torch; torch.set_num_threads(1)\n"
        "module.train(load_toml(sys.argv[2]), data=pictures(), quiet=True)\n"
    )
    file = whole.path / "config.toml"
    here, there = os.path.dirname(__file__), config.output.runs
    done = subprocess.run([sys.executable, "-c", code, here, str(file), there])
    assert done.returncode == -9
    run = runs.find("latest", config.output.runs)
    assert run.number == 2
    assert run.status()["state"] == "killed"
    assert checkpoint.steps(run.checkpoints) == [4]
    assert runs.read_metrics(run.metrics)[-1]["step"] == 6
    (run.checkpoints / ".writing-abc").mkdir()
    train(run.config(), resume=True, data=pictures(), quiet=True)
    assert_same_weights(whole, run)
    assert [row["step"] for row in runs.read_metrics(run.metrics)] == list(range(1, 13))
    assert not (run.checkpoints / ".writing-abc").exists()


def test_a_damaged_checkpoint_costs_only_what_came_after(config, capsys):
    config = update(config, {"save_every": "2", "sample_count": 0})
    whole = train(config, data=pictures(), quiet=True)
    run = train(config, data=pictures(), quiet=True)
    newest = run.checkpoints / "step-00000006" / "weights.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    train(config, run, resume=True, data=pictures())
    assert "set aside as bad-step-00000006" in capsys.readouterr().err
    assert_same_weights(whole, run)


def test_resuming_a_finished_run_trains_on_only_with_a_new_limit(config, capsys):
    run = train(config, data=pictures(), quiet=True)
    train(config, run, resume=True, data=pictures())
    assert "had reached its limit" in capsys.readouterr().err
    train(update(config, {"steps": 8}), run, resume=True, data=pictures(), quiet=True)
    assert run.status()["step"] == 8
    assert run.config().limits.steps == 8
    assert Pipeline.load(run.model).facts["step"] == 8


def test_what_may_change_on_resume(config):
    run = train(config, data=pictures(), quiet=True)
    changed = update(config, {"lr": 0.5, "steps": 9, "batch_size": 3, "keep": 5})
    with pytest.raises(UsageError) as caught:
        train(changed, run, resume=True, data=pictures(), quiet=True)
    lines = str(caught.value).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["lr", "0.001", "0.5", "--override", "lr"],
        ["batch_size", "8", "3", "--override", "batch_size"],
    ]
    with pytest.raises(UsageError, match=r"patch +2 +1 +a new run"):
        train(update(config, {"patch": 1}), run, resume=True, data=pictures(), quiet=True)
    with pytest.raises(UsageError, match="--override patch: this cannot change"):
        train(config, run, resume=True, override=["patch"], data=pictures(), quiet=True)
    train(changed, run, resume=True, override=["lr", "batch_size"], data=pictures(), quiet=True)
    assert (run.status()["step"], run.status()["images"]) == (9, 6 * 8 + 3 * 3)
    assert run.config() == changed
    config = changed
    other = replace(pictures(), x=pictures().x[::-1].copy())
    with pytest.raises(DataError, match="trained on other data"):
        train(config, run, resume=True, data=other, quiet=True)
    assert run.status()["state"] == "failed"
    with pytest.raises(CannotCreateError, match="resume it instead"):
        train(config, run, data=pictures(), quiet=True)


def test_two_trainers_in_one_folder(config):
    run = train(config, data=pictures(), quiet=True)
    with run.lock(), pytest.raises(LockedError, match=f"process {os.getpid()}"):
        train(config, run, resume=True, data=pictures(), quiet=True)
    assert run.status()["state"] == "done"


def test_a_failure_is_recorded(config, monkeypatch):
    def fail(*_):
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", fail)
        patch.setattr("demist.training.background_saver.PAUSES", ())
        with pytest.raises(StorageError):
            train(config, data=pictures(), quiet=True)
    run = runs.find("latest", config.output.runs)
    assert run.status()["state"] == "failed"
    assert run.status()["message"] == "the disk is full, and the same command goes on"
    # There is no checkpoint yet: it starts again, from the beginning.
    train(config, run, resume=True, data=pictures(), quiet=True)
    assert run.status()["state"] == "done"


def test_nothing_is_left_of_a_run_that_cannot_start(config):
    with pytest.raises(UsageError):
        train(update(config, {"network": "mlp"}), data=pictures(), quiet=True)
    assert not os.path.exists(config.output.runs)


def test_points(config):
    config = update(config, {"flip": False, "width": 16, "depth": 1, "sample_every": "3"})
    run = train(config, data=points(), quiet=True)
    assert [row["step"] for row in runs.read_metrics(run.metrics)] == [6]  # the last, always
    assert run.path.name == "0001-dots"
    assert run.image(3).exists()
    assert run.image(6).exists()
    assert Pipeline.from_run(run).sample(3).shape == (3, 2)


def test_pictures_do_not_change_training(config):
    a = train(update(config, {"sample_every": "1"}), data=pictures(), quiet=True)
    b = train(update(config, {"sample_count": 0}), data=pictures(), quiet=True)
    assert_same_weights(a, b)
    assert len(list((a.path / "samples").iterdir())) == 6
    assert not list((b.path / "samples").iterdir())


def test_plan_writes_nothing(config):
    p = plan(update(config, {"steps": 100}), pictures())
    assert (p.items, p.shape, p.classes, p.steps) == (20, (1, 8, 8), ("a", "b", "c"), 100)
    assert p.seconds == pytest.approx(100 * p.seconds_per_step)
    assert p.epochs == 40
    assert p.data == "tiny: made up"
    assert not os.path.exists(config.output.runs)
    assert {("shape", "1 x 8 x 8"), ("classes", "3: a, b, c")} <= set(p.rows())
    many = replace(p, classes=tuple("abcdefghijkl"))
    assert ("classes", "12: a, b, c, d, e, f, g, h, i, j, ...") in many.rows()
    p = plan(update(config, {"steps": None, "budget": "1h"}), pictures())
    assert p.seconds == pytest.approx(3600, rel=0.01)
    p = plan(update(config, {"steps": None, "images": 801}), pictures())
    assert p.steps == 101


def test_cadence():
    now = [0.0]
    timed = Cadence("10s", lambda: now[0])
    due = []
    for now[0] in (5.0, 10.0, 12.0, 19.9, 20.5, 31.0):
        due.append(timed.due(0))
    assert due == [False, True, False, False, True, True]
    assert [step for step in range(1, 10) if Cadence("3").due(step)] == [3, 6, 9]


def test_what_is_due_by_the_clock_gets_a_tenth_of_the_time():
    now = [0.0]
    timed = Cadence("10s", lambda: now[0])
    due = []
    for now[0] in (10.0, 32.0, 59.9, 60.0, 70.0):
        due.append(timed.due(0))
        if due == [True]:
            now[0] = 15.0
        if due[-1]:
            timed.done()
    assert due == [True, False, False, True, True]


def test_what_is_done_when_it_was_not_due_puts_nothing_off():
    now = [0.0]
    timed = Cadence("10s", lambda: now[0])
    now[0] = 10.0
    assert timed.due(0)
    timed.done()
    now[0] = 18.0  # asked for in between
    assert not timed.due(0)
    timed.done()
    now[0] = 20.0
    assert timed.due(0)


def test_second_interrupt_stops_at_once():
    with interruptible() as interrupt:
        assert not interrupt
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert not Interrupt()


def test_progress_lines(config):
    stream = io.StringIO()
    progress = Progress(stream=stream, every=0.0)
    real = run_module.Progress
    try:
        run_module.Progress = lambda quiet: progress
        train(config, data=pictures())
    finally:
        run_module.Progress = real
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("training in ")
    (third,) = [line for line in lines if line.startswith("step 3 ")]
    assert third.startswith("step 3   50%  loss ")
    assert third.endswith(" left")
    assert [clock_face(s) for s in (5, 65, 3723, -1)] == ["0:05", "1:05", "1:02:03", "0:00"]


def test_samples_that_are_not_finite_do_not_end_the_training(config, monkeypatch, capsys):
    def sample(self, n, **values):
        raise NotFiniteError("4 of 4 samples came out as NaN or infinity; use less guidance")

    monkeypatch.setattr(Pipeline, "sample", sample)
    run = train(config, data=pictures(), command=["demist", "train", "x"])
    assert (run.path / "summary.json").exists()
    assert "no image of samples at step 6: 4 of 4 samples" in capsys.readouterr().err
