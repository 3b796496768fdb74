"""Samples to be measured do not depend on who makes them, in what order, or in what batches."""

import dataclasses

import numpy as np
import pytest

from demist import runs
from demist.cli import main
from demist.commands import generating
from demist.commands.generating import BUCKET, Task, bucket_seed, gather, generate
from demist.errors import DemistError
from demist.pipeline import Pipeline

TINY = ["--width", "8", "--depth", "1", "--batch-size", "8", "--sample-count", "0",
        "--precision", "fp32"]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    where = str(folder)
    assert main(["train", "25-gaussians", "--steps", "2", "--runs", where, *TINY]) == 0
    run = runs.find("1", folder)
    settings = {"steps": 2, "solver": "ddim:eta=1", "grid": None, "guidance": 1.0,
                "batch_size": 64}  # fmt: skip
    asked = {"label": [str(k) for k in range(25)]}
    task = Task(str(run.path), None, "cpu", "fp32", settings, asked, 600, (4, 5))
    return task, Pipeline.from_run(run)


@pytest.fixture(scope="module")
def whole(model):
    return generate(*model, 1, "")


def same(a, b):
    assert list(a) == list(b)
    for seed in a:
        np.testing.assert_array_equal(a[seed], b[seed])


def test_every_seed_has_its_own_samples(whole):
    assert {seed: x.shape for seed, x in whole.items()} == {4: (600, 2), 5: (600, 2)}
    everything = np.concatenate(list(whole.values()))
    assert len(np.unique(everything, axis=0)) == 1200


@pytest.mark.parametrize("seed", range(4))
def test_any_grouping_of_buckets_gives_identical_bytes(model, whole, seed):
    task, pipeline = model
    jobs = [task.jobs[i] for i in np.random.default_rng(seed).permutation(len(task.jobs))]
    same(gather({job: task.make(pipeline, *job) for job in jobs}), whole)


def test_several_processes_give_identical_bytes(model, whole):
    same(generate(*model, 2, ""), whole)


def test_batches_leave_no_trace(model, whole):
    task, pipeline = model
    other = dataclasses.replace(task, settings=task.settings | {"batch_size": 7})
    same(generate(other, pipeline, 1, ""), whole)


def test_a_larger_set_begins_with_the_smaller(model, whole):
    task, pipeline = model
    more = generate(dataclasses.replace(task, count=700), pipeline, 1, "")
    np.testing.assert_array_equal(more[4][:600], whole[4])


def test_classes_come_in_equal_parts(model):
    task = model[0]
    labels = task.wishes(range(task.count))["label"]
    assert {labels.count(name) for name in set(labels)} == {24}
    assert len(set(labels[BUCKET : BUCKET + 25])) == 25


def test_bucket_seeds_differ():
    assert len({bucket_seed(s, b) for s in range(30) for b in range(30)}) == 900


def test_a_worker_that_fails_is_heard(model, monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho no such run: nowhere >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(generating.sys, "executable", str(script))
    with pytest.raises(DemistError, match="a sampling process failed: no such run: nowhere"):
        generate(*model, 2, "")


def test_low_precision_is_used(model, monkeypatch):
    import torch

    seen = []

    class Spy:
        denoiser = model[1].denoiser

        def sample(self, n, **_):
            seen.append(torch.is_autocast_enabled("cpu"))
            return np.zeros((n, 2))

    for precision in ("fp32", "bf16"):
        dataclasses.replace(model[0], precision=precision).make(Spy(), 0, 0)
    assert seen == [False, True]
    assert generating.BUCKET % 8 == 0
