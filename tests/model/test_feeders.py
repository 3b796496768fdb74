"""Cascades: what a stage makes, what the next is given, and what is kept of both."""

import json
import shlex

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from demist.cli import main
from demist.codecs import Pixels
from demist.conditions import Conditioner, Label, LowResolution
from demist.core import X0, Denoiser, Linear, TimeClock, Velocity
from demist.errors import DataError, UsageError
from demist.model import Pipeline, Sampling
from demist.model.feeders import alone, stage_seed, stages_of
from demist.model.folder import weights_hash
from demist.networks import UNet

STEPS = {"steps": 3}


def made(seed, side, labelled=True, factor=None, channels=1, **defaults):
    conditions = {"label": Label(("cat", "dog"))} if labelled else {}
    if factor is not None:
        conditions["low_resolution"] = LowResolution((channels, side, side), factor)
    conditioner = Conditioner(conditions)
    net = UNet(
        in_channels=channels, channels=(8,), norm_groups=4, head_dim=8, patch=2,
        inlets=conditioner.specs(),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    denoiser = Denoiser(net, Linear(), Velocity(), bounds=(-1, 1))
    how = Sampling(**{"steps": 3, "guidance": 2.0, **defaults})
    return Pipeline(denoiser, Pixels(), conditioner, (channels, side, side), how)


@pytest.fixture(scope="module")
def base():
    return made(1, 4)


@pytest.fixture(scope="module")
def middle():
    return made(2, 8, labelled=False, factor=2, solver="heun")


@pytest.fixture(scope="module")
def top():
    return made(3, 16, factor=2)


@pytest.fixture(scope="module")
def chain(base, middle, top):
    return top.fed("low_resolution", middle.fed("low_resolution", base), "middle")


def test_an_image_given_by_hand_is_the_automatic_one(chain, base, middle, top):
    """Of three stages, each by itself, with the seeds that the cascade says."""
    how = {"label": ["cat", "dog", "cat"], "seed": 5}
    second = stage_seed(5, "middle")
    small = base.sample(3, label=how["label"], seed=stage_seed(second, "base"))
    larger = middle.sample(3, low_resolution=small, seed=second)
    expected = top.sample(3, low_resolution=larger, **how)
    np.testing.assert_array_equal(chain.sample(3, **how), expected)
    np.testing.assert_array_equal(chain.sample(3, low_resolution=larger, **how), expected)
    nothing = chain.sample(3, low_resolution=None, **how)
    assert not np.array_equal(nothing, expected)
    np.testing.assert_array_equal(nothing, top.sample(3, **how))


def test_samples_do_not_depend_on_their_batch(chain):
    """Not on which others are made, nor on the batch sizes of the stages."""
    labels = ["cat", "dog", "cat"]
    whole = chain.sample(3, label=labels)
    np.testing.assert_array_equal(chain.sample(3, label=labels, rows=[2, 0]), whole[[2, 0]])
    small = {"stages": {"base": {"batch_size": 1}}, "batch_size": 1}
    np.testing.assert_array_equal(chain.sample(3, label=labels, **small), whole)
    seeds = chain.sample(2, label="cat", seed=[7, 8])
    for seed, one in zip((7, 8), seeds, strict=True):
        np.testing.assert_array_equal(chain.sample(1, label="cat", seed=seed)[0], one)


def test_each_stage_has_its_own_recipe_and_count(chain, base):
    plan = chain.plan(2, label="cat", stages={"base": {"steps": 5, "guidance": 1.0}})
    assert plan.sampling.stages["base"].steps == 5
    assert plan.sampling.stages["middle"].solver == "heun"
    assert plan.sampling.solver == "adams:p=2,last=1"
    again = chain.plan(2, plan.sampling, label="cat")
    np.testing.assert_array_equal(plan.sample(), again.sample())
    # Heun: two evaluations in each but the last step; guidance doubles them where all are led.
    assert plan.evaluations() == {"base": 5.0, "middle": 10.0, "last": 6.0}
    recipe = plan.sampling.recipe()
    assert recipe["stages"]["base"]["guidance"] == 1.0
    kept = Sampling(**json.loads(json.dumps(plan.sampling.to_json())))
    assert kept.to_json() == plan.sampling.to_json()
    assert chain.plan(1, label="cat", seed=3).feeds["low_resolution"].plan.sampling.seed == (
        stage_seed(3, "middle")
    )
    assert "stages" not in base.plan(1).sampling.recipe()


def test_a_saved_cascade_is_the_same(chain, tmp_path):
    chain.save(tmp_path / "cascade")
    found = Pipeline.load(tmp_path / "cascade")
    assert list(stages_of(found)) == ["base", "middle"]
    assert list(found.conditioner.conditions) == list(chain.conditioner.conditions)
    assert weights_hash(found) == weights_hash(chain) != weights_hash(alone(chain))
    np.testing.assert_array_equal(found.sample(2, label="dog"), chain.sample(2, label="dog"))
    part = Pipeline.load(tmp_path / "cascade" / "stages" / "middle")
    assert list(stages_of(part)) == ["base"]
    same = chain.of_weights(dict(chain.denoiser.net.state_dict()))
    np.testing.assert_array_equal(same.sample(2, label="dog"), chain.sample(2, label="dog"))


def test_a_damaged_stage_is_noticed(chain, base, tmp_path):
    chain.save(tmp_path / "cascade")
    inner = tmp_path / "cascade" / "stages" / "middle" / "stages" / "base"
    base.save(inner, replace=True)  # the same model, of another making
    path = inner / "model_index.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 1 '))
    with pytest.raises(DataError, match="is damaged: its SHA-256"):
        Pipeline.load(tmp_path / "cascade")


def test_a_refiner_is_saved_with_its_model(tmp_path):
    first, second = made(1, 8), made(2, 8)
    both = first.refined(second, 0.4)
    both.save(tmp_path / "both")
    found = Pipeline.load(tmp_path / "both")
    assert found.refinement.start == 0.4
    np.testing.assert_array_equal(found.sample(2, label="cat"), both.sample(2, label="cat"))
    plan = found.plan(2, label="cat", steps=5)
    plan.sample()
    counts = plan.evaluations()
    assert counts["last"] + counts["refiner"] == 10
    assert counts["refiner"] >= 2


def test_a_refined_cascade(base, tmp_path):
    """The refiner is told the same small image, which is made once."""
    large, second = made(3, 8, factor=2), made(4, 8, factor=2)
    both = large.fed("low_resolution", base).refined(second, 0.5)
    small = base.sample(2, label="cat", seed=stage_seed(0, "base"))
    expected = large.refined(second, 0.5).sample(2, label="cat", low_resolution=small)
    plan = both.plan(2, label="cat")
    np.testing.assert_array_equal(plan.sample(), expected)
    assert plan.evaluations()["base"] == 6
    both.save(tmp_path / "both")
    found = Pipeline.load(tmp_path / "both")
    np.testing.assert_array_equal(found.sample(2, label="cat"), expected)


def test_what_leads_away_reaches_the_stages_that_are_led(base):
    """A stage without guidance is left out; where none has any, it is refused as ever."""
    plain = made(3, 8, factor=2, guidance=1.0)
    cascade = plain.fed("low_resolution", base)
    away = {"label": "dog"}
    small = base.sample(1, label="cat", negative=away, seed=stage_seed(0, "base"))
    expected = plain.sample(1, label="cat", low_resolution=small)
    np.testing.assert_array_equal(cascade.sample(1, label="cat", negative=away), expected)
    with pytest.raises(UsageError, match="leads away from nothing"):
        cascade.plan(1, label="cat", negative=away, stages={"base": {"guidance": 1}})


def test_conditions_of_an_earlier_stage_alone(base, middle):
    cascade = middle.fed("low_resolution", base)
    assert list(cascade.conditioner.conditions) == ["low_resolution", "label"]
    assert list(alone(cascade).conditioner.conditions) == ["low_resolution"]
    cats, dogs = (cascade.sample(1, label=name) for name in ("cat", "dog"))
    assert not np.array_equal(cats, dogs)
    with pytest.raises(UsageError, match="no condition 'colour'; it has low_resolution, label"):
        cascade.sample(1, colour=1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda c, b: c.sample(1, stages={"bse": {}}), "no stage 'bse'; its stages: base, middle"),
        (lambda c, b: b.sample(1, stages={"x": {}}), "no stage 'x'; its stages: none before"),
        (lambda c, b: c.sample(1, stages={"base": {"step": 3}}), "no option called 'step'"),
        (lambda c, b: c.sample(1, stages={"base": 3}), "name the condition"),
        (lambda c, b: c.sample(1, stages=3), 'stages={"base": {"steps": 30}}'),
        (
            lambda c, b: c.sample(
                1, low_resolution=np.zeros((1, 8, 8), np.uint8), stages={"base": {}}
            ),
            "the stage 'base' is not run, for low_resolution is given",
        ),
        (lambda c, b: c.fed("low_resolution", b, "more"), "has a feeder already, middle"),
        (lambda c, b: alone(c).fed("low_resolution", c, "middle"), "two stages are called"),
        (lambda c, b: alone(c).fed("edges", b), "no condition 'edges'"),
        (lambda c, b: alone(c).fed("low_resolution", b), r"samples of 1 x 4 x 4 does not feed"),
        (
            lambda c, b: alone(c).fed("low_resolution", made(1, 8, channels=3)),
            r"samples of 3 x 8 x 8 does not feed the condition low_resolution.* takes \(1, 8, 8\)",
        ),
        (lambda c, b: alone(c).fed("low_resolution", b, "refiner"), "cannot be called 'refiner'"),
        (lambda c, b: alone(c).fed("low_resolution", b, "../a"), "cannot be called"),
        (lambda c, b: b.sample(1, condition_noise=0.5), "no condition low-resolution"),
        (lambda c, b: c.sample(1, condition_noise=2), "a level from 0 to 1"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_is_refused(chain, base, wrong, words):
    with pytest.raises(UsageError, match=words):
        wrong(chain, base)


class Small(nn.Module):
    """E[x0 | x] of a standard normal number, on the linear path."""

    def forward(self, x, t, **cond):
        t = t.reshape(-1, *(1,) * (x.ndim - 1))
        return self.posterior(x, 1 - t, t, **cond)

    def posterior(self, x, alpha, sigma):
        return alpha * x / (alpha**2 + sigma**2)


class Large(Small):
    """E[y | x] of y = 0.8 small + 0.6 e, in each of its pixels, given the small image."""

    def posterior(self, x, alpha, sigma, **cond):
        mean = 0.8 * cond["low_resolution.image"]
        gain = alpha * 0.36 / (alpha**2 * 0.36 + sigma**2)
        return mean + gain * (x - alpha * mean)


class Whole(Pixels):
    """Numbers as they are, so that moments are those of the law and not of bytes."""

    def encode(self, x):
        return x.float()

    def decode(self, x):
        return x


class Numbers(LowResolution):
    """A small image of any numbers."""

    def encode(self, values, n):
        small = torch.as_tensor(values)
        large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return {"image": large, "level": torch.zeros_like(large[:, :1])}


def exact(net, side, **conditions):
    """The same network must have a weight, so that it is somewhere."""
    net.anchor = nn.Parameter(torch.zeros(()))
    denoiser = Denoiser(net, Linear(), X0(), clock=TimeClock())
    how = Sampling(steps=40, solver="heun", batch_size=2048)
    return Pipeline(denoiser, Whole(), Conditioner(conditions), (1, side, side), how)


def test_the_joint_moments_are_those_of_the_law():
    """small ~ N(0, 1), y = 0.8 small + 0.6 e: variance 1 of each, covariance 0.8.

    With one noise for both stages, e would be the small image's own noise again.
    """
    base = exact(Small(), 2)
    cascade = exact(Large(), 4, low_resolution=Numbers((1, 4, 4))).fed("low_resolution", base)
    plan = cascade.plan(4096)
    y = plan.sample()
    small = plan.feeds["low_resolution"].plan.sample()
    large = small.repeat(2, 2).repeat(2, 3)
    error = 4 / np.sqrt(y.size / 4)
    assert abs(small.var() - 1) < error
    assert abs(y.var() - 1) < error
    assert abs((y * large).mean() - 0.8) < error
    rest = y - 0.8 * large
    assert abs(rest.var() - 0.36) < error
    first = small.reshape(4096, -1), rest.reshape(4096, -1)[:, :4]
    assert abs((first[0] * first[1]).mean() / 0.6) < error


def test_the_level_told_is_the_level_added():
    condition = LowResolution((1, 64, 64), 2, noise=0.5)
    conditioner = Conditioner({"low_resolution": condition})
    grey = np.full((2, 1, 32, 32), 128, np.uint8)
    encoded = conditioner.encode(2, {"low_resolution": grey})
    generator = torch.Generator().manual_seed(0)

    def draw(name, like):
        return torch.randn(like.shape, generator=generator)

    shown = conditioner.sampled(encoded, draw, 0.4)
    assert torch.equal(shown["low_resolution.level"], torch.full((2, 1, 64, 64), 0.4))
    added = (shown["low_resolution.image"] - encoded["low_resolution.image"])[:, :, ::2, ::2]
    assert abs(float(added.std()) / (0.5 * 0.4) - 1) < 4 / np.sqrt(2 * added.numel())
    blocks = shown["low_resolution.image"].reshape(2, 1, 32, 2, 32, 2)
    assert torch.equal(blocks, blocks[:, :, :, :1, :, :1].expand_as(blocks))
    assert conditioner.sampled(encoded, draw, 0.0).keys() == encoded.keys()
    none = conditioner.encode(2, {"low_resolution": None})
    same = conditioner.sampled(none, draw, 0.4)
    assert all(torch.equal(same[key], none[key]) for key in none)


def test_noise_is_told_to_a_stage(base):
    """As a field of its recipe, and the network sees it."""
    large = made(3, 8, factor=2)
    cascade = large.fed("low_resolution", base)
    clean = cascade.sample(2, label="cat")
    noisy = cascade.sample(2, label="cat", condition_noise=0.5)
    assert not np.array_equal(clean, noisy)
    plan = cascade.plan(2, label="cat", condition_noise=0.5)
    assert plan.sampling.recipe()["condition_noise"] == 0.5
    small = base.sample(2, label="cat", seed=stage_seed(0, "base"))
    given = large.sample(2, label="cat", low_resolution=small, condition_noise=0.5)
    np.testing.assert_array_equal(noisy, given)


@pytest.mark.slow
def test_on_the_command_line(chain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chain.save("model")
    line = "sample model --class cat --n 2 --arrays x.npy --animate film.gif"
    assert main(shlex.split(f"{line} --stage base:steps=2,guidance=1 --condition-noise 0.2")) == 0
    said = capsys.readouterr().err
    assert "evaluations of the network for one sample: base 2, middle 10, last 6" in said
    how = {"stages": {"base": {"steps": 2, "guidance": 1}}, "condition_noise": 0.2}
    np.testing.assert_array_equal(np.load("x.npy"), chain.sample(2, label="cat", **how))
    with Image.open("samples.png") as image:
        facts = json.loads(image.info["demist"])
    assert facts["sampling"]["stages"]["base"]["steps"] == 2
    assert facts["sampling"]["stages"]["middle"]["solver"] == "heun"
    assert facts["evaluations"] == {"base": 2, "middle": 10, "last": 6}
    assert set(facts["model"]["stages"]) == {"base", "middle"}
    with Image.open("film.gif") as film:
        assert film.n_frames >= 3 + 4 + 4
    assert main(["show", "model"]) == 0
    shown = capsys.readouterr().out
    assert "middle: makes low_resolution; parameters" in shown
    assert "base: makes low_resolution; parameters" in shown
    assert main(shlex.split("sample model --stage bose:steps=2")) != 0
    assert "no stage 'bose'" in capsys.readouterr().err
    assert main(shlex.split("sample model --stage base")) != 0
    assert main(shlex.split("sample model --class cat --grid condition-noise=0,0.3 seed=0:2")) == 0
    assert main(shlex.split("bulk model out --n 3 --stage base:steps=2")) == 0
    expected = chain.sample(3, label=["cat", "cat", "dog"], stages={"base": {"steps": 2}})
    np.testing.assert_array_equal(np.load("out/samples.npy"), expected)
