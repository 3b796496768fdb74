import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CONFIG, one_thread, pictures, points  # noqa: F401

from demist import core
from demist.codecs import Pixels, Standardize
from demist.config import update
from demist.core import make_schedule
from demist.data import Dataset
from demist.errors import DataError, UsageError
from demist.networks import MLP, UNet
from demist.objectives import WEIGHTS
from demist.training.build import build

PLAIN = [
    name for name in core.SCHEDULES.names() if name not in ("shifted", "table", "zero-terminal")
]
"""Schedules that need no option."""


@pytest.mark.slow
@pytest.mark.parametrize("schedule", PLAIN)
@pytest.mark.parametrize("parameterization", core.PARAMETERIZATIONS.names())
def test_every_combination_takes_a_step(schedule, parameterization):
    config = update(CONFIG, {"schedule": schedule, "parameterization": parameterization})
    e = build(config, pictures())
    for weight in WEIGHTS.names():
        e = build(update(config, {"weight": weight}), pictures()) if weight == "edm" else e
        objective = replace(e.objective, weight=WEIGHTS.make(weight))
        assert bool(objective(e.pipeline.denoiser, e.batches(0)).isfinite().all())


def test_schedules():
    assert make_schedule("vp:beta_max=12") == core.VP(beta_max=12.0)
    assert make_schedule("linear:shift=2") == core.Shifted(core.Linear(), 2.0)
    assert make_schedule("vp:zero_terminal=1") == core.ZeroTerminal(core.VP())
    table = make_schedule("ddpm-scaled-linear:steps=50,zero_terminal=1,shift=2")
    assert table.schedule.steps == 50
    assert table(torch.tensor(1.0, dtype=torch.float64))[0] == 0
    nested = make_schedule("shifted:schedule=(zero-terminal:schedule=(vp:beta_max=12)),shift=2")
    assert nested == core.Shifted(core.ZeroTerminal(core.VP(beta_max=12.0)), 2.0)
    assert make_schedule("vp:beta_max=12,zero_terminal=1,shift=2") == nested
    assert make_schedule("table:alpha_bar=(0.9,0.5,0.1)").alpha_bar.tolist() == [0.9, 0.5, 0.1]
    for spec, words in [
        ("vp:gamma=1", "no option of schedule vp called 'gamma'. There are: beta_min, beta_max"),
        ("linear:a=1", "There are: none"),
        ("vp:shift=2", "pure noise"),
        ("linear:zero_terminal=1", "variance"),
        ("cosine:shift=-1", "positive"),
        ("cosine:shift=x", "shift"),
        ("shifted:shift=2", "'shifted:shift=2' needs schedule"),
    ]:
        with pytest.raises(UsageError, match=words):
            make_schedule(spec)


def test_measured_values_fill_in_what_the_options_leave_open():
    x = np.full((4, 1, 8, 8), 255, np.uint8)
    x[:2] = 0
    config = update(CONFIG, {"parameterization": "karras", "flip": False})
    e = build(config, Dataset(x))
    assert e.pipeline.denoiser.input_std == 1.0
    assert e.pipeline.denoiser.parameterization == core.Karras(1.0)
    config = update(config, {"parameterization": "karras:sigma_data=0.25", "weight": "edm"})
    e = build(config, Dataset(x))
    assert e.pipeline.denoiser.parameterization == core.Karras(0.25)
    assert e.objective.weight(torch.tensor(-math.inf)).item() == 1.0


def test_images_and_points():
    e = build(CONFIG, pictures())
    assert type(e.pipeline.denoiser.net) is UNet
    assert e.pipeline.codec == Pixels()
    assert e.pipeline.shape == (1, 8, 8)
    assert e.pipeline.conditioner.conditions["label"].classes == ("a", "b", "c")
    assert e.config.optimization.precision == "fp32"
    e = build(update(CONFIG, {"flip": False}), points())
    assert type(e.pipeline.denoiser.net) is MLP
    assert type(e.pipeline.codec) is Standardize
    assert e.pipeline.conditioner.conditions == {}
    assert e.pipeline.denoiser.input_std == pytest.approx(1, abs=1e-3)


def test_without_labels():
    for config, data in [
        (update(CONFIG, {"labels": False}), pictures()),
        (CONFIG, replace(pictures(), labels=None)),
        (CONFIG, pictures(classes=("only",))),
    ]:
        e = build(config, data)
        assert e.pipeline.conditioner.conditions == {}
        assert e.batches(0).cond == {}
        assert e.pipeline.defaults.guidance == 1.0


def test_batches():
    e = build(update(CONFIG, {"label_drop": 0.5}), pictures())
    data, batch = pictures(), e.batches(3)
    index = e.batches.streams.indices(3)
    mirrored = e.batches.streams.uniforms("flip", 3).numpy() < 0.5
    assert 0 < mirrored.sum() < 8
    expected = data.x[index]
    expected[mirrored] = expected[mirrored][..., ::-1]
    assert torch.equal(batch.x0, Pixels().encode(torch.from_numpy(expected)))
    dropped = e.batches.streams.uniforms("drop/label", 3).numpy() < 0.5
    assert 0 < dropped.sum() < 8
    assert batch.cond["label"].tolist() == np.where(dropped, 3, data.labels[index]).tolist()
    assert np.array_equal(data.x, pictures().x)


@pytest.mark.parametrize(
    "changes, data, words",
    [
        ({"network": "mlp"}, pictures(), "network = 'mlp' does not fit images; use unet"),
        (
            {"network": "unet", "flip": False},
            points(),
            "network = 'unet' does not fit points; use mlp",
        ),
        ({"channels_per_level": [8, 8, 8]}, pictures(size=12), "12x12 .* use --size 16|--size 8"),
        ({"flip": True}, points(), "mirrors images"),
        ({"device": "cuda:77"}, pictures(), "cuda:77"),
        ({"device": "nonsense"}, pictures(), "'nonsense'.*try auto or cpu"),
    ],
)
def test_what_does_not_fit(changes, data, words):
    with pytest.raises(UsageError, match=words):
        build(update(CONFIG, changes), data)


def test_no_data():
    with pytest.raises(DataError, match="holds no data"):
        build(CONFIG, replace(pictures(), x=pictures().x[:0], labels=None))
