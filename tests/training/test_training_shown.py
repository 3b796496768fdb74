"""`--given`: parts of samples are shown while training, the same whenever a step is made."""

import numpy as np
import pytest
import torch
from tiny import CONFIG, one_thread, pictures  # noqa: F401 (a fixture)

from demist import Pipeline
from demist.conditions import Conditioner, GivenPart
from demist.config import LimitsConfig, TrainConfig, update
from demist.data import Dataset
from demist.data.sounds.clips import Clips, InMemory
from demist.errors import UsageError
from demist.runs import checkpoint
from demist.training.build import build
from demist.training.fit import fit, start
from demist.training.shown import with_given

RATE = 4000
SOUNDS = update(
    CONFIG, {"flip": False, "given": 0.5, "dropout": 0.0, "width": 32, "depth": 1, "patch": 2}
)


def tones(n=12):
    t = np.arange(512) / RATE
    waves = [0.5 * np.sin(2 * np.pi * (200 + 30 * i) * t).astype(np.float32) for i in range(n)]
    x = Clips([InMemory(wave) for wave in waves], RATE, 512)
    return Dataset(
        x, np.arange(n) % 2, ("low", "high"), name="tones", kind=f"sounds:rate={RATE}",
        source="made up",
    )  # fmt: skip


@pytest.mark.parametrize("network", ["unet", "dit"])
def test_a_share_of_each_batch_is_shown_a_part_of_itself(network):
    made = build(update(SOUNDS, {"network": network, "batch_size": 64}), tones(64))
    batch = made.batches(3)
    clean, mask = batch.cond["given.clean"], batch.cond["given.mask"]
    assert torch.equal(clean[(mask == 0).expand_as(clean)], batch.x0[(mask == 0).expand_as(clean)])
    assert not clean[(mask == 1).flatten(1).all(1)].any()
    shown = ~(mask == 1).flatten(1).all(1)
    assert 20 <= int(shown.sum()) <= 44
    assert torch.equal(mask, mask[:, :, :1].expand_as(mask))  # all bands at once
    again = build(update(SOUNDS, {"network": network, "batch_size": 64}), tones(64)).batches(3)
    assert torch.equal(again.cond["given.clean"], clean)
    assert not torch.equal(made.batches(4).cond["given.mask"], mask)
    assert bool((made.objective(made.denoiser, batch) > 0).all())
    assert made.pipeline.conditioner.conditions["given"] == GivenPart((1, 64, 8), 0.5)


def test_without_it_nothing_changes():
    plain = build(update(SOUNDS, {"given": None}), tones())
    assert list(plain.pipeline.conditioner.conditions) == ["label"]
    told = build(SOUNDS, tones())
    a, b = plain.batches(2), told.batches(2)
    assert torch.equal(a.x0, b.x0)
    assert torch.equal(a.u, b.u)
    assert torch.equal(a.cond["label"], b.cond["label"])
    assert torch.equal(a.noise(a.x0), b.noise(b.x0))


def test_stopped_and_gone_on_with_it_is_the_same(tmp_path):
    def run(e, limit, state=None):
        options = e.config.optimization
        state = start(e.pipeline.denoiser, options) if state is None else state
        for state in fit(
            e.pipeline.denoiser, e.batches, objective=e.objective, options=options,
            limits=LimitsConfig(steps=6), state=state,
        ):  # fmt: skip
            if state.step == limit:
                break
        return state

    whole = run(build(SOUNDS, tones()), 6)
    path = checkpoint.save(tmp_path, run(build(SOUNDS, tones()), 3).checkpoint())
    torch.manual_seed(12345)
    e = build(SOUNDS, tones())
    state = start(e.pipeline.denoiser, e.config.optimization)
    state.restore(checkpoint.load(path))
    ours, theirs = (s.checkpoint().parts for s in (whole, run(e, 6, state)))
    assert ours.keys() == theirs.keys()
    for part in ours:
        for name in ours[part]:
            assert torch.equal(ours[part][name], theirs[part][name]), name


def test_it_is_saved_with_the_model(tmp_path):
    made = build(SOUNDS, tones()).pipeline
    made.save(tmp_path / "model")
    opened = Pipeline.load(tmp_path / "model")
    assert opened.conditioner.conditions["given"] == GivenPart((1, 64, 8), 0.5)


def test_what_has_no_time_is_refused():
    with pytest.raises(UsageError, match=r"given = 0.25.*images.*--conditions masked"):
        build(update(CONFIG, {"given": 0.25}), pictures())
    config = update(TrainConfig(), {"given": 0.25})
    label = build(update(SOUNDS, {"given": None}), tones()).pipeline
    taken = Conditioner({"given": label.conditioner.conditions["label"]})
    with pytest.raises(UsageError, match="a column is called so already"):
        with_given(taken, config, tones(), label.codec)
