"""Samples to be measured do not depend on who makes them, in what order, or in what batches."""

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from demist import runs
from demist.cli import main
from demist.errors import DataError, DemistError
from demist.measuring import buckets as generating
from demist.measuring.buckets import Bucket, Source, fill, work
from demist.measuring.sets import SIZE, Task, bucket_seed
from demist.model.folder import weights_hash
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling

TINY = ["--width", "8", "--depth", "1", "--batch-size", "8", "--sample-count", "0",
        "--precision", "fp32"]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    where = str(folder)
    assert main(["train", "25-gaussians", "--steps", "2", "--runs", where, *TINY]) == 0
    run = runs.find("1", folder)
    pipeline = Pipeline.from_run(run)
    sampling = Sampling(2, "ddim:eta=1", guidance=1.0, batch_size=64)
    asked = {"label": [str(k) for k in range(25)]}
    source = Source(str(run.path), weights_hash(pipeline), None, "cpu", "fp32")
    task = Task(source, sampling, asked, 600, (4, 5))
    return task, pipeline


def generate(task, pipeline, folder, **how):
    """Fill a folder; the jobs that are still missing then."""
    folder.mkdir(exist_ok=True)
    buckets = task.buckets(folder)
    left = fill(list(buckets.values()), task.source, pipeline, **how)
    return [job for job, bucket in buckets.items() if bucket in left]


def samples(model, folder, **how):
    """All samples of a task, by way of its folder."""
    task, pipeline = model
    assert generate(task, pipeline, folder, **how) == []
    return task.collect(Forbidden(), folder)


def of(source=None, **changes):
    """A change of a task, or of its source."""
    return lambda task: dataclasses.replace(
        task, source=dataclasses.replace(task.source, **(source or {})), **changes
    )


class Forbidden(Pipeline):
    """A model that nobody may use."""

    def __init__(self):
        pass


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    return samples(model, tmp_path_factory.mktemp("whole") / "buckets")


def same(a, b):
    assert list(a) == list(b)
    for seed in a:
        np.testing.assert_array_equal(a[seed], b[seed])


def test_every_seed_has_its_own_samples(whole):
    assert {seed: x.shape for seed, x in whole.items()} == {4: (600, 2), 5: (600, 2)}
    everything = np.concatenate(list(whole.values()))
    assert len(np.unique(everything, axis=0)) == 1200


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_buckets_gives_identical_bytes(model, whole, seed, tmp_path):
    task, pipeline = model
    buckets = list(task.buckets(tmp_path).values())
    for i in np.random.default_rng(seed).permutation(len(buckets)):
        buckets[i].make(pipeline)
    same(task.collect(Forbidden(), tmp_path), whole)


@pytest.mark.slow
def test_several_processes_give_identical_bytes(model, whole, tmp_path):
    same(samples(model, tmp_path, processes=3), whole)


def test_shares_of_several_machines_give_identical_bytes(model, whole, tmp_path):
    task, pipeline = model
    left = [len(generate(task, pipeline, tmp_path, share=(i, 4))) for i in (3, 1, 4, 2)]
    assert left == [5, 3, 2, 0]  # of six buckets
    same(task.collect(Forbidden(), tmp_path), whole)


def test_finished_buckets_are_not_made_again(model, whole, tmp_path, monkeypatch):
    task, pipeline = model
    generate(task, pipeline, tmp_path, share=(1, 2))
    (tmp_path / "4-00000.npy").write_bytes((tmp_path / "4-00000.npy").read_bytes()[:999])
    (tmp_path / ".5-00000.npy.x.tmp").write_bytes(b"from a process that was killed")
    seen, real = [], Bucket.make
    monkeypatch.setattr(
        Bucket, "make", lambda self, *a: seen.append(self.file.stem) or real(self, *a)
    )
    same(samples(model, tmp_path), whole)
    assert seen == ["4-00000", "4-00001", "5-00000", "5-00002"]  # the first had been cut short


@pytest.mark.slow
def test_what_a_killed_process_finished_is_kept(model, whole, tmp_path):
    buckets = list(model[0].buckets(tmp_path).values())
    order = generating._order(model[0].source, buckets)
    run = subprocess.Popen(
        [sys.executable, "-m", "demist.measuring.buckets"], stdin=subprocess.PIPE, text=True
    )
    run.stdin.write(json.dumps(order))
    run.stdin.close()
    while not buckets[0].made():
        assert run.poll() is None
        time.sleep(0.02)
    run.kill()
    run.wait()
    same(samples(model, tmp_path), whole)


def test_other_samples_have_another_key(model):
    task = model[0]
    steps, batch = (
        dataclasses.replace(task.sampling, **c) for c in ({"steps": 3}, {"batch_size": 7})
    )
    for change in (of({"sha256": "x"}), of(count=599), of(seeds=(4, 6)), of({"precision": "bf16"}),
                   of(asked={}), of(sampling=steps)):  # fmt: skip
        assert change(task).key != task.key
    moved = of({"place": "elsewhere", "device": "cuda:1", "at_step": 2})(task)
    assert moved.key == task.key
    assert of(sampling=batch)(task).key == task.key


def test_a_run_that_trained_on_is_noticed(model, tmp_path):
    other = of({"sha256": "0" * 64})(model[0])
    order = generating._order(other.source, list(other.buckets(tmp_path).values())[:1])
    with pytest.raises(DataError, match=r"other weights now .* --at-step"):
        work(order)


def test_samples_that_vanish_are_made_again(model, whole, tmp_path):
    task, pipeline = model
    generate(task, pipeline, tmp_path)
    (tmp_path / "5-00001.npy").unlink()  # as by another evaluation of the same, when it is done
    same(task.collect(pipeline, tmp_path), whole)


@pytest.mark.slow
def test_evaluate_in_shares(model, capsys, monkeypatch):
    folder = Path(model[0].source.place)
    line = ["evaluate", str(folder), "--n", "1200", "--seeds", "2", "--steps", "2"]
    assert main([*line, "--shard", "2/2"]) == 0
    assert "3 of 6 buckets are still to be made by others" in capsys.readouterr().out
    assert main([*line, "--shard", "1/2", "--batch-size", "50"]) == 0
    assert "measure them: the same command without --shard" in capsys.readouterr().out
    kept = list(folder.glob("evaluation-*"))
    assert len(list(kept[0].glob("*.npy"))) == 6
    monkeypatch.setattr(Bucket, "sample", None)  # nothing is left to be made
    assert main(line) == 0
    first = json.loads((folder / "evaluation.json").read_text())["report"]
    assert not kept[0].exists()
    monkeypatch.undo()
    assert main(line) == 0
    assert json.loads((folder / "evaluation-2.json").read_text())["report"] == first
    for wrong in (["--shard", "3/2"], ["--ray", "--processes", "2"]):
        assert main([*line, *wrong]) == 64


def test_batches_leave_no_trace(model, whole, tmp_path):
    task, pipeline = model
    other = of(sampling=dataclasses.replace(task.sampling, batch_size=7))(task)
    same(samples((other, pipeline), tmp_path), whole)


def test_a_larger_set_begins_with_the_smaller(model, whole, tmp_path):
    task, pipeline = model
    more = samples((dataclasses.replace(task, count=700), pipeline), tmp_path)
    np.testing.assert_array_equal(more[4][:600], whole[4])


def test_classes_come_in_equal_parts(model):
    task = model[0]
    buckets = [b for (seed, _), b in task.buckets(Path()).items() if seed == 4]
    labels = [name for bucket in buckets for name in bucket.cond["label"]]
    assert {labels.count(name) for name in set(labels)} == {24}
    assert len(set(labels[SIZE : SIZE + 25])) == 25


def test_bucket_seeds_differ():
    assert len({bucket_seed(s, b) for s in range(30) for b in range(30)}) == 900


def test_a_worker_that_fails_is_heard(model, monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho no such run: nowhere >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(generating.sys, "executable", str(script))
    with pytest.raises(DemistError, match="a sampling process failed: no such run: nowhere"):
        generate(*model, tmp_path, processes=2)


def test_low_precision_is_used(model, monkeypatch):
    import torch

    seen = []

    class Spy(Forbidden):
        denoiser = model[1].denoiser

        def sample(self, n, **_):
            seen.append(torch.is_autocast_enabled("cpu"))
            return np.zeros((n, 2))

    for precision in ("fp32", "bf16"):
        of({"precision": precision})(model[0]).collect(Spy(), Path("nowhere"))
    assert seen == [False] * 6 + [True] * 6
    assert SIZE % 8 == 0
