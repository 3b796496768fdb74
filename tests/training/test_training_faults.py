"""What goes wrong in training, and what happens then."""

import contextlib
import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist import runs
from demist.cli import main
from demist.config import LimitsConfig, OutputConfig, TrainConfig, flat, update
from demist.data import Dataset
from demist.errors import DemistError, StorageError, UsageError
from demist.runs import checkpoint
from demist.training import background_saver as saver
from demist.training import build as build_module
from demist.training import gradient, memory, sharding
from demist.training import run as run_module
from demist.training.background_saver import BackgroundSaver
from demist.training.fit import fit, start
from demist.training.parallel import World
from demist.training.resume import DECLARED, FREE, require_resumable, unfinished
from demist.training.run import train


@pytest.fixture
def config(tmp_path):
    changes = {"runs": str(tmp_path / "runs"), "sample_count": 0, "dropout": 0.0}
    return update(CONFIG, changes)


def parts_of(run):
    return checkpoint.load_newest(run.checkpoints, pytest.fail, repair=False).parts


def assert_same_weights(a, b, rtol=0.0):
    a, b = parts_of(a), parts_of(b)
    for part in checkpoint.PARTS:
        assert a[part].keys() == b[part].keys()
        for name, value in a[part].items():
            torch.testing.assert_close(value, b[part][name], rtol=rtol, atol=rtol)


# A full disk


@pytest.fixture
def small_files():
    """A function after which no file can grow beyond so many bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


@pytest.mark.slow
def test_a_full_disk_costs_nothing_but_time(config, small_files, monkeypatch, capsys):
    """A few more tries, then 74; what is there stays; with space again, the run ends the same."""
    monkeypatch.setattr(saver, "PAUSES", (0.01, 0.01))
    config = update(config, {"decay": "constant", "save_every": "3"})
    whole = train(update(config, {"steps": 12}), data=pictures(), quiet=True)
    run = train(update(config, {"steps": 6}), data=pictures(), quiet=True)
    longer = update(config, {"steps": 12})
    before = sorted(path.name for path in run.checkpoints.iterdir())
    assert before == ["step-00000003", "step-00000006"]
    small_files(20_000)
    with pytest.raises(StorageError, match=r"too large \([\d.]+ MB needed, [\d.]+ MB free\)") as e:
        train(longer, run, resume=True, data=pictures())
    small_files(None)
    assert e.value.exit_code == 74
    assert capsys.readouterr().err.count("trying again in") == 2
    assert sorted(path.name for path in run.checkpoints.iterdir()) == before
    assert (run.status()["state"], run.status()["exit_code"]) == ("failed", 74)
    assert "Earlier checkpoints are untouched" in run.status()["message"]
    train(longer, run, resume=True, data=pictures(), quiet=True)
    assert_same_weights(whole, run)


def test_space_that_comes_back_in_time_is_used(config, small_files, monkeypatch, tmp_path):
    said = []

    def say(message):
        said.append(message)
        small_files(None)

    monkeypatch.setattr(saver, "PAUSES", (0.01, 0.01))
    live = start(build_module.build(config, pictures()).pipeline.denoiser, config.optimization)
    writer = BackgroundSaver(tmp_path, 2, say)
    small_files(1000)
    writer.save(live.checkpoint())
    writer.wait()
    assert len(said) == 1
    assert checkpoint.steps(tmp_path) == [0]
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000"]


@pytest.fixture
def disk(tmp_path):
    """A disk of 1 MB, and a function that fills it, empties it or makes it read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")

    def change(how):
        if how == "ro":  # a second, read-only mount above the first, which has open files
            subprocess.run(["mount", "--bind", str(place), str(place)], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        elif how == "rw":
            subprocess.run(["umount", str(place)], check=True)
        elif how == "full":
            with contextlib.suppress(OSError), (place / "filler").open("wb", 0) as file:
                while True:
                    file.write(bytes(4096))
        else:
            (place / "filler").unlink()

    yield place, change
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "back", "words"),
    [
        ("full", "empty", "No space left on device"),
        ("ro", "rw", "Read-only file system"),
    ],
)
def test_a_real_disk_that_takes_no_more(disk, monkeypatch, capsys, trouble, back, words):
    """In the middle of training, at the start of the next try, and before the first run."""
    monkeypatch.setattr(saver, "PAUSES", (0.01,))
    place, change = disk
    line = "train eight --limit 64 --width 16 --depth 1 --batch-size 4 --sample-count 0"
    line = [*line.split(), "--steps", "6", "--save-every", "2", "--log-every", "1"]
    line += ["--threads", "1", "--runs", str(place)]
    assert main([*line, "--name", "whole"]) == 0
    real = run_module.fit

    def fit(*args, **kwargs):
        for state in real(*args, **kwargs):
            if state.step == 4:
                wait_for(lambda: checkpoint.steps(place / "0002-hit" / "checkpoints"))
                change(trouble)
            yield state

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "fit", fit)
        assert main([*line, "--name", "hit"]) == 74
    run = runs.find("2", place)
    said = capsys.readouterr().err
    assert f"cannot write a checkpoint to {run.checkpoints}: {words}" in said
    assert ". Earlier checkpoints are untouched; trying again in 0.01 seconds\n" in said
    assert said.endswith(". Earlier checkpoints are untouched, and the same command goes on\n")
    assert checkpoint.steps(run.checkpoints) == [2]
    assert not list(run.path.rglob(".writing-*"))
    assert main([*line, "--name", "hit"]) == 74  # nothing has changed yet
    said = capsys.readouterr().err
    assert re.search(
        rf"demist: cannot read or write {run.path}/\S+: {words}; .* and try again\n", said
    )
    assert main([*line, "--name", "third"]) == (74 if trouble == "full" else 73)
    said = capsys.readouterr().err
    assert re.search(rf"demist: cannot .* {place}(/0003-third/\S+)?: {words}; \w+ \w+", said)
    assert len(runs.all_runs(place)) == 2
    change(back)
    assert main([*line, "--name", "hit"]) == 0
    assert f"resuming {run.path} after step 2" in capsys.readouterr().err
    assert_same_weights(runs.find("1", place), run)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_training_can_do_without_does_not_end_it(config, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.MetricsLog, "append", full)
    run = train(update(config, {"log_every": "3"}), data=pictures())
    assert run.status()["state"] == "done"
    said = capsys.readouterr().err
    assert said.count("cannot write metrics: No space left on device; going on") == 2


# Saving in the background


def test_a_save_is_a_snapshot(tmp_path):
    """What happens to the weights while a thread writes them is not in the file."""
    live = {part: {"w": torch.zeros(2**20)} for part in checkpoint.PARTS}
    writer = BackgroundSaver(tmp_path, 2, pytest.fail)
    writer.save(checkpoint.Checkpoint(1, live, {}))
    for tensors in live.values():
        tensors["w"].add_(1)
    writer.save(checkpoint.Checkpoint(2, live, {}))
    for tensors in live.values():
        tensors["w"].add_(1)
    writer.wait()
    for step in (1, 2):
        found = checkpoint.load(tmp_path / checkpoint.folder_name(step))
        assert all(bool((t["w"] == step - 1).all()) for t in found.parts.values())


def test_an_unforeseen_error_of_the_thread_is_not_lost(tmp_path, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(checkpoint, "save", fail)
    writer = BackgroundSaver(tmp_path, 2, pytest.fail)
    writer.save(checkpoint.Checkpoint(1, {}, {}))
    with pytest.raises(ZeroDivisionError):
        writer.wait()
    writer.wait()  # it is said once


# Numbers that are none


def test_skipped_steps_are_listed_with_the_items_they_saw(config, monkeypatch):
    """Item 5 is broken: the steps that see it are skipped, and named."""
    real = gradient.full_batch

    def broken(denoiser, batches, step, objective, low):
        loss, count = real(denoiser, batches, step, objective, low)
        if 5 in batches.streams.indices(step):
            next(p for p in denoiser.parameters()).grad.fill_(math.inf)
        return loss, count

    monkeypatch.setattr(build_module, "full_batch", broken)
    config = update(config, {"steps": 5})
    run = train(config, data=pictures(), quiet=True)
    streams = build_module.build(config, pictures()).streams
    expected = [s for s in range(5) if 5 in streams.indices(s)]
    rows = [json.loads(line) for line in (run.path / "skipped.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == expected
    assert 2 <= len(expected) <= 3
    assert all(row["items"] == streams.indices(row["step"]).tolist() for row in rows)
    assert rows[0]["grad_norm"] == "inf"
    assert json.loads((run.path / "summary.json").read_text())["skipped"] == len(expected)


# Processes that hold shares


def test_blocks_that_are_cut_are_the_innermost_repeated_ones():
    unet = build_module.build(CONFIG, pictures()).pipeline.denoiser.net
    found = sharding.blocks(unet)
    assert {type(block).__name__ for block in found} == {
        "ResBlock", "Attention", "Downsample", "Upsample",
    }  # fmt: skip
    in_blocks = [p for block in found for p in block.parameters()]
    assert len(in_blocks) == len(set(in_blocks))  # in one of them each
    assert sum(p.numel() for p in in_blocks) > 0.8 * sum(p.numel() for p in unet.parameters())


def chosen(config, monkeypatch, **changes):
    """How the gradient of a network cut over two processes is computed."""
    monkeypatch.setattr(build_module, "is_sharded", lambda _: True)
    options = update(config, changes).optimization
    denoiser = build_module.build(config, pictures()).pipeline.denoiser
    return build_module.choose_gradient(options, denoiser, World(1, 2), print)


def test_a_cut_network_does_not_search_for_what_fits(config, monkeypatch):
    with pytest.raises(UsageError, match=r"'fsdp'.*waiting; choose a number with micro_batches"):
        chosen(config, monkeypatch, auto_microbatch=True)


def test_a_cut_network_computes_its_share_in_pieces(config, monkeypatch):
    """The second of two processes, in two pieces each: the mean over the last half of the batch."""
    monkeypatch.setattr(World, "mean", lambda _, value: value)
    config = update(config, {"dropout": 0.0})
    e = build_module.build(config, pictures())
    found = []
    for parts in (None, 4):
        how = chosen(config, monkeypatch, micro_batches=parts)
        loss, count = how(how.wrapped, e.batches, 3, e.objective, False)
        found.append([loss, *(p.grad for p in how.wrapped.net.parameters())])
        assert count == 8
    assert how.pieces == 2
    for whole, pieces in zip(*found, strict=True):
        torch.testing.assert_close(whole, pieces, rtol=1e-4, atol=1e-6)


def test_out_of_memory_of_a_cut_network_tries_nothing(config, monkeypatch):
    """A try in one process would wait for the others for ever."""
    monkeypatch.setattr(memory, "is_sharded", lambda _: True)
    monkeypatch.setattr(memory, "_fits", lambda *_: pytest.fail("a try"))
    with pytest.raises(DemistError, match=r"8 items of 1 x 8 x 8.*use more --micro-batches"):
        steps_of(config, most=4)


# Memory


class Greedy:
    """An objective that needs more memory than there is for more than `most` items."""

    def __init__(self, objective, most):
        self.objective, self.most = objective, most

    def __call__(self, denoiser, batch):
        if len(batch.x0) > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
        return self.objective(denoiser, batch)


def steps_of(config, most, **extra):
    e = build_module.build(config, pictures())
    options, d = e.config.optimization, e.pipeline.denoiser
    state = start(d, options)
    how = build_module.choose_gradient(options, d, build_module.World(), extra.get("say", print))
    objective = Greedy(e.objective, most)
    for _ in fit(
        d,
        e.batches,
        objective=objective,
        gradient=how,
        options=options,
        limits=config.limits,
        state=state,
    ):
        pass  # fmt: skip
    return state.checkpoint().parts


def test_out_of_memory_names_what_fits(config):
    with pytest.raises(DemistError) as caught:
        steps_of(config, most=3)
    assert "out of memory with 8 items of 1 x 8 x 8 at a time" in str(caught.value)
    assert "--micro-batches 4 fits: the same training in 4 pieces of 2" in str(caught.value)
    with pytest.raises(DemistError, match="down to 1 did not help; use a smaller --size"):
        steps_of(config, most=0)


def test_parts_are_found_when_memory_runs_out(config):
    said = []
    found = steps_of(update(config, {"auto_microbatch": True}), most=3, say=said.append)
    fixed = steps_of(update(config, {"micro_batches": 4}), most=8)
    once = steps_of(config, most=8)
    assert said == [
        "out of memory: from now on 4 items at a time",
        "out of memory: from now on 2 items at a time",
    ]
    for part in checkpoint.PARTS:
        for name, value in fixed[part].items():
            assert torch.equal(found[part][name], value)
            torch.testing.assert_close(value, once[part][name], rtol=2e-4, atol=2e-5)
    with pytest.raises(DemistError, match="out of memory even with 1 items"):
        steps_of(update(config, {"auto_microbatch": True}), most=0, say=said.append)


@dataclass(frozen=True)
class WithPeer(World):
    """One of two processes; memory runs out in the other one while it has one part for each."""

    def any(self, *flags):
        peers.extend(flags)
        return [flag or len(peers) == 1 for flag in flags]

    def sum_in_order(self, value):
        return value * 2  # the other has found the same


peers: list[bool] = []


def test_all_processes_halve_when_memory_runs_out_in_one(config):
    peers.clear()
    e = build_module.build(config, pictures())
    how = gradient.MicroBatched(2, WithPeer(1, 2), auto=True, say=pytest.fail)  # one speaks
    _, count = how(e.pipeline.denoiser, e.batches, 0, e.objective, False)
    assert peers == [False, False]
    assert (how.parts, count) == (4, 8)


@pytest.mark.parametrize("parts", [3, 16])
def test_parts_that_do_not_divide_the_batch(config, parts):
    with pytest.raises(UsageError, match="choose a power of two"):
        train(update(config, {"micro_batches": parts}), data=pictures(), quiet=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_what_out_of_memory_looks_like(error, expected):
    assert gradient.is_out_of_memory(error) is expected


# Time


def test_a_hang_ends_with_the_stacks_and_75():
    code = (
        "import time\n"
        "from demist.training.watchdog import Watchdog\n"
        "def stuck(): time.sleep(60)\n"
        "dog = Watchdog(0.4)\n"
        "with dog.watching():\n"
        "    for _ in range(4): time.sleep(0.2); dog.beat()\n"
        "    print('alive', flush=True)\n"
        "    stuck()\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 75
    assert done.stdout == "alive\n"
    assert "no step was finished in 0.4 seconds" in done.stderr
    assert "in stuck" in done.stderr
    assert time.monotonic() - begun < 30


def test_setting_the_clock_changes_nothing(config, monkeypatch):
    whole = train(config, data=pictures(), quiet=True)
    jumps = iter(np.linspace(-1e9, 1e9, 10_000) * (-1) ** np.arange(10_000))
    monkeypatch.setattr(time, "time", lambda: float(next(jumps)))
    config = update(config, {"save_every": "1h", "patience": "1h", "sample_every": "1h"})
    run = train(config, data=pictures(), quiet=True)
    assert 0 < run.status()["seconds"] < 600
    assert checkpoint.steps(run.checkpoints) == [6]
    assert_same_weights(whole, run)


# The same command again


CHANGED = {
    "stable_targets": 16,
    "path": "moons", "size": 64, "channels": 1, "background": "red", "limit": 5, "max_bad": 0.5,
    "budget": "3m", "patience": "3m", "log_every": "3", "save_every": "3", "sample_every": "3",
    "schedule": "vp", "parameterization": "eps", "times": "uniform", "weight": "simple",
    "decay": "cosine", "precision": "bf16", "device": "cpu", "network": "mlp", "runs": "elsewhere",
    "name": "other", "sample_solver": "ddim", "micro_batches": 2, "threads": 3, "images": 7,
    "steps": 7, "variance_steps": 10, "sample_count": 3, "sample_guidance": 2.0,
    "norm_groups": 2, "clock": "time", "optimizer": "adamw", "parallel": "fsdp",
    "text_encoder": "folder", "keep": 3, "teacher": "digits", "evaluations": (1.0,),
    "matching_times": "uniform", "codec": "1", "codec_budget": "5m", "reconstruction": "l1",
    "kind": "points", "conditions": "label", "fit": "pad", "range": "0:9", "hold_out": 0.2,
    "buckets": "5", "patch": 4, "rate": 8000, "seconds": 2.0,
    "given": 0.5,
    "label_column": "a", "caption_column": "a", "long_captions": "b", "class_level": 2,
    "log": "tensorboard",
    "perceptual_features": "judge", "image_encoder": "1", "text_tower": "clip",
    "latent_scale": "one", "latent_draw": "sampled", "sample_rule": "apg",
    "feeds": "label=1", "refiner": "1", "start_from": "1",
    "channels_per_level": (64, 64), "attention_levels": (0,), "cross_levels": (0,),
}  # fmt: skip


def changed(name):
    """Another value of an option."""
    value = flat(TrainConfig())[name]
    if name in CHANGED or isinstance(value, bool):
        return CHANGED.get(name, not value)
    return value / 2 or 0.5 if isinstance(value, float) else value // 2 or value + 1


@pytest.mark.parametrize("name", flat(TrainConfig()))
def test_every_option_is_free_declared_or_fatal_when_a_run_is_resumed(name):
    old, new = TrainConfig(), update(TrainConfig(), {name: changed(name)})
    assert old != new
    if name in FREE:
        require_resumable(old, new)
        return
    remedy = f"--override {name}" if name in DECLARED else "a new run"
    values = (re.escape(str(flat(config)[name])) for config in (old, new))
    row = rf"(?m)^  {name} +{' +'.join(values)} +{remedy}$"
    with pytest.raises(UsageError, match=row) as caught:
        require_resumable(old, new)
    assert caught.value.exit_code == 64
    if name in DECLARED:
        require_resumable(old, new, [name])
    else:
        with pytest.raises(UsageError, match=f"--override {name}: this cannot change"):
            require_resumable(old, new, [name])


def test_what_is_learned_is_not_free():
    assert not FREE & DECLARED
    elsewhere = {"path", "teacher", "start_from", "codec", "text_encoder"}  # all compared
    machine = {"device", "threads", "auto_microbatch", "parallel", "compile"}
    assert FREE - elsewhere - machine == {
        *vars(LimitsConfig()),
        *vars(OutputConfig()),
    }
    assert {"seed", "network", "schedule", "parameterization", "size"}.isdisjoint(FREE | DECLARED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_the_command_is_a_clean_stop(tmp_path, monkeypatch, capsys, number):
    monkeypatch.chdir(tmp_path)
    real = run_module.fit

    def fit(*args, **kwargs):
        for state in real(*args, **kwargs):
            if state.step == 3:
                os.kill(os.getpid(), number)
            yield state

    monkeypatch.setattr(run_module, "fit", fit)
    line = "train eight --limit 64 --width 8 --depth 1 --batch-size 8 --sample-count 0 --steps 9"
    assert main(line.split()) == 0
    run = runs.find("1")
    assert (run.status()["state"], checkpoint.steps(run.checkpoints)) == ("stopped", [3])
    said = capsys.readouterr().err
    assert "stopped after step 3; saved. To go on: demist train --resume runs/0001-eight" in said


def test_bad_pictures_are_named(config, capsys):
    from demist.data import BadFile

    data = replace(pictures(), bad=(BadFile("a.png", "ends early"), BadFile("b.png", "empty")))
    run = train(config, data=data)
    said = capsys.readouterr().err
    assert "left out a.png: ends early\nleft out b.png: empty" in said
    rows = [json.loads(line) for line in (run.path / "bad_files.jsonl").read_text().splitlines()]
    assert rows[0] == {"path": "a.png", "reason": "ends early"}


@pytest.mark.slow
def test_the_same_command_goes_on_with_what_was_not_finished(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.save("dots.npy", x)
    line = "train dots.npy --width 8 --depth 1 --batch-size 8 --sample-count 0 --save-every 2"
    assert main([*line.split(), "--steps", "6"]) == 0
    real = checkpoint.save

    def fail(folder, found, keep):
        if found.step == 4:
            raise StorageError("the disk is full")
        return real(folder, found, keep)

    with monkeypatch.context() as patch:
        patch.setattr(saver, "PAUSES", ())
        patch.setattr(checkpoint, "save", fail)
        assert main([*line.split(), "--steps", "6", "--name", "other"]) == 74
    said = capsys.readouterr().err
    assert said.endswith("demist: the disk is full, and the same command goes on\n")
    run = runs.find("2")
    assert run.status()["state"] == "failed"
    assert unfinished(run.config()) == run
    assert main([*line.split(), "--steps", "6", "--name", "other"]) == 0
    assert "going on with runs/0002-other (failed)" in capsys.readouterr().err
    assert len(runs.all_runs("runs")) == 2
    assert_same_weights(runs.find("1"), run)
    # What is done is not gone on with, nor is a run with other options.
    assert unfinished(run.config()) is None
    run.write_status("stopped")
    assert main([*line.split(), "--steps", "6", "--name", "other", "--fresh"]) == 0
    assert main([*line.split(), "--steps", "6", "--lr", "0.1"]) == 0
    assert len(runs.all_runs("runs")) == 4


def test_killed_before_it_could_say_anything(config):
    """A folder with options and no more: the same command starts it."""
    whole = train(config, data=pictures(), quiet=True)
    run = runs.create(config.output.runs, "tiny")
    runs.begin(run, whole.config(), ["demist"])
    assert unfinished(whole.config()) == run
    run.write_status("running")
    assert unfinished(whole.config()) == run
    train(config, run, resume=True, data=pictures(), quiet=True)
    assert_same_weights(whole, run)


def test_a_second_trainer_exits_with_69(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = "train eight --width 8 --depth 1 --batch-size 8 --sample-count 0 --steps 2"
    assert main(line.split()) == 0
    with runs.find("1").lock():
        assert main(["train", "--resume", "1", "--steps", "3"]) == 69
    assert f"is being written by process {os.getpid()}" in capsys.readouterr().err


def test_data_of_one_item_is_enough(config):
    x = np.full((1, 1, 8, 8), 7, np.uint8)
    assert train(config, data=Dataset(x, name="one"), quiet=True).status()["state"] == "done"
