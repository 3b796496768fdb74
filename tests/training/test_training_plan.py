"""What a run needs is known before its first step: memory from shapes, time, and what to expect."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CONFIG, pictures
from torch import nn

from demist import runs
from demist.config import OptimizationConfig, TrainConfig, update
from demist.core import Denoiser, Linear, Velocity
from demist.data import Dataset
from demist.errors import UsageError
from demist.networks import UNet
from demist.training import footprint as prints
from demist.training import look as looking
from demist.training import plan as planning
from demist.training.advice import before
from demist.training.build import build
from demist.training.fit import TrainState, start, warming
from demist.training.footprint import footprint, require_memory, upper_bound
from demist.training.run import train


class Three(nn.Module):
    """Squares its input three times: each product keeps its factor, 4 bytes a number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(10, 10))

    def forward(self, x, t):
        y = x * self.weight.sum()
        for _ in range(3):
            y = y * y
        return y


def test_what_is_kept_for_the_backward_pass_is_added_up():
    found = footprint(Denoiser(Three(), Linear(), Velocity()), (2, 6, 5), 7, {}, False)
    state = 4 * 7 * 60
    assert found.kept == 5 * state  # x, a factor of each product, and the result for the mean
    assert found.peak > found.kept + 5 * 400 + 8 * state


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
def test_a_unet_keeps_in_proportion_to_the_batch_and_never_more_than_the_bound(bf16):
    model = Denoiser(UNet(in_channels=3, channels=(16, 32), patch=2), Linear(), Velocity())
    two, eight = (footprint(model, (3, 32, 32), n, {}, bf16).kept for n in (2, 8))
    assert 3.98 * two < eight < 4.02 * two
    assert two < upper_bound(model.net, (3, 32, 32), 2)


def test_memory_grows_with_the_area_since_attention_keeps_no_table_of_all_pairs():
    model = Denoiser(UNet(in_channels=3, channels=(16, 32), patch=2), Linear(), Velocity())
    small, large = (footprint(model, (3, s, s), 2, {}, False).kept for s in (32, 128))
    assert 15 < large / small < 17


def test_a_step_that_memory_cannot_hold_is_refused_with_what_fits(monkeypatch):
    net = UNet(in_channels=3, channels=(16, 32), patch=2, head_dim=16)
    model, shape = Denoiser(net, Linear(), Velocity()), (3, 64, 64)
    eight = footprint(model, shape, 8, {}, False).peak
    monkeypatch.setattr(prints, "free_memory", lambda: int(1.3 * eight))
    words = r"32 items of 3 x 64 x 64 .* GB are free: --micro-batches 4 would fit.* 4 pieces of 8"
    with pytest.raises(UsageError, match=words):
        require_memory(model, shape, 32, 1, {}, False)
    assert require_memory(model, shape, 32, 4, {}, False).peak == eight
    monkeypatch.setattr(prints, "free_memory", lambda: 1000)
    with pytest.raises(UsageError, match="use a smaller --size"):
        require_memory(model, shape, 32, 1, {}, False)


def test_training_and_its_plan_are_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(prints, "free_memory", lambda: 10_000)
    config = update(CONFIG, {"runs": str(tmp_path / "runs")})
    for begin in (train, planning.plan):
        with pytest.raises(UsageError, match="8 items of 1 x 8 x 8 at a time needs about"):
            begin(config, data=pictures())
    assert not (tmp_path / "runs").exists()


def test_large_maps_have_no_attention_in_the_middle_unless_that_is_said():
    x = np.zeros((4, 1, 16, 16), np.uint8)
    options = {"channels_per_level": [8, 16], "norm_groups": 2, "head_dim": 8, "batch_size": 4}
    config = update(TrainConfig(), {**options, "mid_positions": 15})  # 16 / 2 / 2 squared are 16
    e = build(config, Dataset(x))
    assert not e.network.config["mid_attention"]
    assert re.search(r"it would compare 4 x 4 positions", " ".join(before(e)))
    for known in (16, None):
        e = build(update(config, {"mid_positions": known}), Dataset(x))
        assert e.network.config["mid_attention"]
        assert "positions" not in " ".join(before(e))
    e = build(update(config, {"network": "unet:mid_attention=1"}), Dataset(x))
    assert e.network.config["mid_attention"]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(60, [100, 6, 6]), (1000, [100, 100, 100]), (990, [100, 99, 99]), (5, [100, 1, 1])],
)
def test_the_warm_up_is_at_most_a_tenth_of_the_run(steps, expected):
    options, state = OptimizationConfig(warmup=100), start(nn.Linear(2, 2), OptimizationConfig())
    for step, warmup in zip((0, 1, 3), expected, strict=True):
        state.step, state.progress = step, step / steps
        assert warming(state, options).warmup == warmup
    assert isinstance(state, TrainState)


def test_a_run_too_short_for_images_says_so_before_and_after(tmp_path, capsys):
    run = train(update(CONFIG, {"runs": str(tmp_path)}), data=pictures())
    text = capsys.readouterr().err
    assert (
        "short: this run will see 48 images (6 steps of 8), and samples are usually noise" in text
    )
    assert "short: this run has seen 48 images" in text
    assert "few: 20 images are learned by heart" in text
    assert runs.recent_loss(runs.read_metrics(run.metrics)) == pytest.approx(
        float(re.search(r'"loss": ([\d.]+)', (run.path / "summary.json").read_text())[1])
    )


def test_one_loss_for_a_run():
    """The mean of the last 200 steps, whatever the lines are of."""
    rows = [{"step": 100 * i, "loss": float(i)} for i in range(1, 6)]
    assert runs.recent_loss(rows) == 4.5
    assert runs.recent_loss([{"step": 10, "loss": 1.0}, {"step": 40, "loss": 2.0}]) == 1.75
    assert runs.recent_loss([{"step": 10, "loss": None}]) is None
    assert runs.recent_loss([]) is None


def test_of_a_large_folder_some_images_are_opened_and_all_counted(tmp_path, monkeypatch):
    for i in range(90):
        place = tmp_path / "data" / ("cat" if i % 3 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(place / f"{i:02d}.png")
    monkeypatch.setattr(looking, "LOOKED", 20)
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    config = update(CONFIG, {"path": str(tmp_path / "data"), "hold_out": 0.1, "flip": False})
    seen = looking.look(config)
    assert (seen.config.data.limit, seen.total, seen.classes) == (20, 90, {"cat": 60, "dog": 30})
    p = planning.plan(config)
    assert p.items == 81
    assert p.understood.startswith("90 images of 8x8 pixels, grey, 2 classes of 30 to 60.")
    assert (p.steps, p.epochs) == (6, 6 * 8 / 81)
    assert looking.look(update(config, {"limit": 30})).total is None


@pytest.mark.parametrize(
    ("first", "own", "each", "found"),
    [
        (0.0, 0.1, 0.0005, 0.356),  # a part of 4 alone would say 13 s
        (60.0, 0.1, 0.0005, 0.356),
        (9.0, 0.0, 1.0, 512.0),  # 4 items take 4 s: no more are tried
        (0.0, 0.4, 0.02, 8 * 1.68),  # 64 take 1.68 s, and twice as many may take too long
    ],
)
def test_a_step_is_timed_on_as_much_of_a_batch_as_does_not_take_long(
    monkeypatch, first, own, each, found
):
    """The step in which all is prepared does not count, and what each step costs counts once."""
    now, tried = [0.0], []

    def steps(model, batches, *, limits, **_):
        count = len(batches.streams.indices(0))
        tried.append(count)
        for step in range(limits.steps):
            now[0] += own + each * count + (first if step == 0 and len(tried) == 1 else 0)
            yield step

    monkeypatch.setattr(planning, "fit", steps)
    monkeypatch.setattr(planning.time, "perf_counter", lambda: now[0])
    e = build(update(CONFIG, {"batch_size": 512}), pictures(600))
    assert planning.seconds_per_step(e) == pytest.approx(found)
    assert tried[0] == 4
    assert now[0] < first + 4 * planning.LONG
