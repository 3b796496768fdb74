"""Stable targets in training: who stands by, and that it changes no more than the target."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CONFIG, one_thread, pictures, points  # noqa: F401

from demist.config import LimitsConfig, TrainConfig, update
from demist.data import Dataset
from demist.errors import UsageError
from demist.modalities import Images, Points
from demist.runs import EARLIER
from demist.training.build import build, choose_gradient
from demist.training.fit import fit
from demist.training.parallel import ALONE
from demist.training.stable import RENEWED, places
from demist.training.tasks.denoise import stable_pool


def built(data, count=4, **changes):
    return build(update(CONFIG, {"stable_targets": count, "flip": False, **changes}), data)


def test_of_images_nobody_stands_by_unless_asked():
    assert build(CONFIG, pictures()).batches(0).candidates is None
    small = build(update(CONFIG, {"label_drop": 0.0}), pictures(4000, size=4)).batches
    assert small.pool is None


def standing_by(data, **changes):
    pool = build(
        update(CONFIG, {"network": "mlp", "depth": 2, "flip": False, **changes}), data
    ).batches.pool
    return pool and pool.count


def test_of_many_points_in_few_dimensions_some_do(monkeypatch):
    wide = replace(points(8), x=np.zeros((500, 64), np.float32))
    assert standing_by(points(500)) == standing_by(wide) == 1024
    assert standing_by(points(500), stable_targets=7) == 7
    assert standing_by(points(500), stable_targets=0) is None
    assert standing_by(replace(wide, x=np.zeros((500, 65), np.float32))) is None
    assert standing_by(points(499)) is None
    assert standing_by(points(499), stable_targets=7) == 7
    monkeypatch.setattr("demist.training.stable.MOST", 40)
    e = build(update(CONFIG, {"network": "mlp", "depth": 2, "flip": False}), points(500))
    assert e.batches.pool.count == 20
    (note,) = (note for note in e.notes if "stable" in note)
    assert "among 20 of its class (--stable-targets 0: the one that it was)" in note
    asked = {"network": "mlp", "depth": 2, "flip": False, "stable_targets": 7}
    assert not build(update(CONFIG, asked), points(500)).notes  # exactly as asked


def test_each_class_must_have_enough_of_them():
    x, labels = points(2500).x, np.arange(2500) >= 2000
    data = Dataset(x, labels.astype(np.int64), ("a", "b"), name="dots")
    assert standing_by(data) == 1024
    other = Dataset(x, (np.arange(2500) >= 2001).astype(np.int64), data.classes, name="dots")
    assert standing_by(other) is None


def test_where_they_make_no_sense_nobody_stands_by_and_nothing_is_refused():
    made = build(update(CONFIG, {"network": "mlp", "depth": 2, "flip": False}), points(500))
    config = update(TrainConfig(), {"variance_steps": 10})
    assert stable_pool(config, made.batches, Points()) is None
    assert stable_pool(TrainConfig(), made.batches, Points()).count == 1024


def test_a_run_of_the_past_goes_on_without():
    assert EARLIER["stable_targets"] == 0


def test_examples_are_of_the_class_that_the_network_is_told():
    data = pictures(60)
    batches = built(data, label_drop=0.3).batches
    hidden = 0
    for step in range(20):
        batch = batches(step)
        told = batch.cond["label"]
        assert torch.equal(batch.candidates.of, told)
        assert set(batch.candidates.sets) == set(told.tolist())
        for k, x in batch.candidates.sets.items():
            assert x.shape == (4, *batch.x0.shape[1:])
            seen = np.rint(batches.codec.decode(x).numpy().mean((1, 2, 3)) / 100)
            if k < 3:
                assert (np.abs(seen - k) < 0.5).all()
            hidden += k == 3
    assert hidden


def test_a_sample_that_stands_by_is_counted_once():
    batches = built(pictures(24), count=6).batches
    found = 0
    for step in range(6):
        batch = batches(step)
        for x0, k, i in zip(batch.x0, batch.candidates.of, batch.candidates.place, strict=True):
            same = (batch.candidates.sets[int(k)] == x0).flatten(1).all(1)
            assert same.sum() == (i >= 0)
            if i >= 0:
                assert same[i]
                found += 1
    assert 0 < found < 48


def test_places_are_those_among_rows_in_any_order():
    rows = np.array([7, 2, 9, 4])
    assert places(np.array([4, 7, 0, 10, 2, 3, 9]), rows).tolist() == [3, 0, -1, -1, 1, -1, 2]


def test_who_stands_by_depends_on_the_step_alone():
    data = pictures(60)
    first, again = built(data).batches, built(data).batches
    wanted = [first(step) for step in range(2 * RENEWED)]
    for step in (RENEWED + 3, 2, RENEWED, RENEWED - 1):
        a, b = wanted[step].candidates, again(step).candidates
        assert a.sets.keys() == b.sets.keys()
        assert all(torch.equal(a.sets[k], b.sets[k]) for k in a.sets)
        assert torch.equal(a.of, b.of)
        assert torch.equal(a.place, b.place)
    k = next(iter(wanted[0].candidates.sets.keys() & wanted[RENEWED].candidates.sets.keys()))
    assert not torch.equal(wanted[0].candidates.sets[k], wanted[RENEWED].candidates.sets[k])


def test_half_of_them_are_mirrored_where_samples_are():
    data = pictures(40, size=8)
    x = data.x.copy()
    x[..., 4:] = 0  # a mirrored one is dark on the left
    batches = built(replace(data, x=x), count=12, flip=True).batches
    seen = torch.cat([x for step in range(8) for x in batches(step).candidates.sets.values()])
    mirrored = (seen[..., :4].mean((1, 2, 3)) < seen[..., 4:].mean((1, 2, 3))).float().mean()
    assert 0.3 < mirrored < 0.7
    assert (batches(0).candidates.place == -1).all()


def test_of_many_classes_fewer_stand_by_and_that_is_said(monkeypatch):
    monkeypatch.setattr("demist.training.stable.MOST", 2 * 4 * 64)  # two of each of four sets
    e = built(pictures(40), count=5)
    assert e.batches.pool.count == 2
    assert (
        "stable_targets = 5: of each class 2 examples find room, and so many are taken" in e.notes
    )
    assert not built(pictures(40), count=2).notes


def test_points_without_classes_have_one_set():
    batch = built(points(64), count=100).batches(0)
    (examples,) = batch.candidates.sets.values()
    assert len(examples) == 64
    assert (batch.candidates.place >= 0).all()


def test_the_loss_is_lower_by_what_nobody_can_know():
    """Of the same batches, times and noise; an untrained network, so the rest is the same."""
    data = points(200)
    losses = []
    for count in (0, 200):
        e = built(data, count=count, batch_size=64, dropout=0.0)
        losses.append(next(fit(e.pipeline.denoiser, e.batches, objective=e.objective)).loss)
    assert losses[1] < 0.9 * losses[0]


def test_two_parts_of_a_batch_learn_the_same():
    found = []
    for parts in (1, 2):
        e = built(pictures(40), micro_batches=parts, dropout=0.0)
        options, model = e.config.optimization, e.pipeline.denoiser
        gradient = choose_gradient(options, model, ALONE, print)
        steps = fit(
            model, e.batches, objective=e.objective, gradient=gradient, options=options,
            limits=LimitsConfig(steps=3),
        )  # fmt: skip
        found.append([state.loss for state in steps])
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.parametrize(("other", "value"), [("variance_steps", 10), ("teacher", "digits")])
def test_options_that_ask_for_more_are_refused(other, value):
    config = update(TrainConfig(), {"stable_targets": 4, other: value})
    with pytest.raises(UsageError, match=f"and {other} = {value!r} asks for more"):
        stable_pool(config, build(CONFIG, pictures()).batches, Images())


def test_samples_that_are_asked_for_one_by_one_are_refused():
    with pytest.raises(UsageError, match="these are by low_resolution; leave it out"):
        built(pictures(), conditions="low-resolution")
