"""A second model takes the last steps: which steps, on which states, given which conditions."""

import json
import shlex
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from demist.cli import main
from demist.codecs import Pixels, Standardize
from demist.conditions import Conditioner, Label, Numbers
from demist.core import VP, Denoiser, Linear, Velocity
from demist.errors import UsageError
from demist.measuring.buckets import Source
from demist.measuring.candidate import open_candidate
from demist.measuring.companions import Companions
from demist.model import Pipeline, Sampling
from demist.model.folder import weights_hash
from demist.networks import MLP, UNet

ANGLE = Numbers(("angle",), (0.0,), (1.0,))
SOLVERS = ("ddim", "ddim:eta=1", "heun")
"""Without a memory."""


def made(seed, schedule=None, width=8, sides=(8, 8), codec=None, **conditions):
    conditioner = Conditioner({"label": Label(("cat", "dog")), **conditions})
    net = UNet(channels=(width,), norm_groups=4, head_dim=8, patch=2, inlets=conditioner.specs())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    denoiser = Denoiser(net, schedule or Linear(), Velocity())
    how = Sampling(steps=6, guidance=2.0)
    return Pipeline(denoiser, codec or Pixels(), conditioner, (1, *sides), how)


@pytest.fixture(scope="module")
def base():
    return made(1)


@pytest.fixture(scope="module")
def refiner():
    return made(2, angle=ANGLE)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_model_refined_by_itself_is_itself(base, solver):
    """Also with noise of its own in every step."""
    how = {"label": "cat", "solver": solver, "seed": 5}
    np.testing.assert_array_equal(base.refined(base, 0.4).sample(3, **how), base.sample(3, **how))


def test_who_takes_which_step(base, refiner):
    """Steps from times above 0.4 are the first model's, the others the second one's."""
    how = {"label": "dog", "solver": "adams", "grid": (1.0, 0.8, 0.5, 0.4, 0.2, 0.0), "seed": 3}
    plan = base.refined(refiner, 0.4).plan(2, **how)
    points = list(plan.states())
    alone = list(base.plan(2, **how).states())
    assert [point.index for point in points] == list(range(6))
    assert plan.until == 3
    for point, same in zip(points[:4], alone, strict=False):
        assert torch.equal(point.x, same.x)
    rest = {**how, "grid": (0.4, 0.2, 0.0), "start": 0.4, "init": points[3].x}
    later = list(refiner.plan(2, **rest).states())
    torch.testing.assert_close(points[5].x, later[2].x)
    assert not torch.allclose(points[5].x, alone[5].x, atol=1e-3)
    assert np.array_equal(plan.sample(), plan.decode(points[5].x))


@pytest.mark.parametrize("at", range(6))
def test_a_trajectory_goes_on_from_any_point(base, refiner, at):
    plan = base.refined(refiner, 0.4).plan(2, label="cat", steps=5, solver="dpmpp-2m", seed=1)
    points = list(plan.states())
    rest = list(plan.states(after=points[at]))
    assert [point.index for point in rest] == list(range(at + 1, 6))
    assert all(torch.equal(a.x, b.x) for a, b in zip(rest, points[at + 1 :], strict=True))


def test_samples_do_not_depend_on_their_batch(base, refiner):
    both = base.refined(refiner, 0.5)
    how = {"label": ["cat", "dog", "cat"], "solver": "ddim:eta=1"}
    whole = both.sample(3, **how)
    np.testing.assert_array_equal(both.sample(3, rows=[2, 0], **how), whole[[2, 0]])


def test_each_is_given_the_conditions_that_it_has(base, refiner):
    both = base.refined(refiner)
    assert list(both.conditioner.conditions) == ["label", "angle"]
    plan = both.plan(2, label="cat", angle=0.25, negative={"angle": 0.75})
    assert list(plan.cond) == ["label"]
    expected = refiner.conditioner.encode(2, {"label": "cat", "angle": 0.25})
    assert plan.then.cond.keys() == expected.keys()
    assert all(torch.equal(plan.then.cond[k], v) for k, v in expected.items())
    with pytest.raises(UsageError, match="no condition 'colour'; it has label, angle"):
        both.plan(2, colour=1)
    with pytest.raises(UsageError, match="no condition 'colour'"):
        both.plan(2, label="cat", negative={"colour": 1})


def test_data_to_start_from_is_the_first_models(base, refiner):
    photos = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 8), dtype=np.uint8)
    both = base.refined(refiner, 0.5)
    np.testing.assert_array_equal(both.sample(2, init=photos, start=0.0), photos)
    low = both.plan(2, init=photos, start=0.3, label="cat", seed=2)
    assert low.until == 0  # all steps are the refiner's
    alone = refiner.plan(2, init=photos, start=0.3, label="cat", seed=2)
    torch.testing.assert_close(list(low.states())[-1].x, list(alone.states())[-1].x)


def test_the_refiner_follows_the_size(base):
    small = made(2, sides=(4, 8))
    assert base.refined(small).refinement.pipeline.shape == (1, 8, 8)
    wide = base.refined(small).sized((8, 12))
    assert wide.refinement.pipeline.shape == (1, 8, 12)
    assert wide.sample(1, label="cat", steps=6).shape == (1, 1, 8, 12)


def points(n):
    return Pipeline(
        Denoiser(MLP(features=n, width=8, depth=1), VP(), Velocity()),
        Standardize((0.0,) * n, 1.0), Conditioner(), (n,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("refine", "words"),
    [
        (lambda base: base.refined(base, 1.0), "start = 1: a refiner takes over at a time between"),
        (lambda base: base.refined(base, 0), "start = 0"),
        (lambda base: base.refined(made(2, VP())), "has another schedule than this model"),
        (lambda base: base.refined(points(2)), r"states have shape \(2,\), this model's \(1, 8, 8"),
        (lambda base: points(3).refined(points(2)), r"states have shape \(2,\), this model's \(3,"),
        (
            lambda base: base.refined(base, 0.01).plan(2, grid=(1.0, 0.5, 0.0)),
            "none of the 2 steps begins at the time 0.01 or below.* earlier, at 0.5",
        ),
    ],
    ids=range(6),
)
def test_what_is_refused(base, refine, words):
    with pytest.raises(UsageError, match=words):
        refine(base)


def test_on_the_command_line(base, refiner, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base.save("first")
    refiner.save("second")
    line = "sample first --class cat --n 2 --refiner second --cond angle=0.5 --arrays x.npy"
    assert main(shlex.split(f"{line} --refine-from 0.4")) == 0
    expected = base.refined(refiner, 0.4).sample(2, label=["cat", "cat"], angle=(0.5,))
    np.testing.assert_array_equal(np.load("x.npy"), expected)
    with Image.open("samples.png") as image:
        facts = json.loads(image.info["demist"])
    assert facts["model"]["refiner"]["start"] == 0.4
    assert main(shlex.split("sample first --refine-from 0.4")) != 0
    assert "give one: --refiner" in capsys.readouterr().err


def test_many_samples_and_edits_take_the_same_refiner(base, refiner, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base.save("first")
    refiner.save("second")
    flags = "--refiner second --refine-from 0.4 --steps 4"
    led = base.refined(refiner, 0.4)
    expected = led.sample(3, steps=4, batch_size=64, label=["cat"] * 3)
    assert main(shlex.split(f"bulk first out --n 3 --class cat {flags}")) == 0
    np.testing.assert_array_equal(np.load("out/samples.npy"), expected)
    facts = json.loads(Path("out/bulk.json").read_text())["model"]["beside"]
    assert facts == {"control": [], "refiner": "second", "refine_from": 0.4, "images": []}
    model = open_candidate("first").with_beside(Companions((), "second", 0.4))
    source = Source(str(model.place), weights_hash(model.pipeline), beside=model.beside)
    again = Source.from_json(json.loads(json.dumps(asdict(source))))
    assert again == source
    there, given = again.open()  # as another process does
    assert not given
    np.testing.assert_array_equal(there.sample(3, steps=4, batch_size=64, label="cat"), expected)
    assert main(shlex.split(f"bulk first out --n 3 --class cat {flags} --ray")) == 64
    assert "--ray has no --control and no --refiner" in capsys.readouterr().err
    Image.fromarray(np.full((8, 8), 90, np.uint8)).save("one.png")
    edit = f"edit first one.png --strength 1 --class cat --seed 3 {flags}"
    assert main(shlex.split(f"{edit} --out refined.png")) == 0
    with Image.open("refined.png") as image:
        refined = np.asarray(image)
    np.testing.assert_array_equal(refined, led.sample(1, steps=4, seed=3, label="cat")[0, 0])
    made(3).save("weaker")
    how = {"guidance_rule": "autoguidance", "guidance": 2.0, "steps": 4, "seed": 3}
    weak = "--weak weaker --guidance-rule autoguidance --guidance 2"
    edit = f"edit first one.png --strength 1 --class cat --seed 3 --steps 4 {weak}"
    assert main(shlex.split(f"{edit} --out weak.png")) == 0
    with Image.open("weak.png") as image:
        plain, told = np.asarray(image), json.loads(image.info["demist"])["sampling"]
    expected = base.sample(1, weak=Pipeline.load("weaker"), label="cat", **how)[0, 0]
    np.testing.assert_array_equal(plain, expected)
    assert told["weak"]["name"] == "weaker"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("edit m a.png --prompt x --swap a->b --refiner m", "--swap follows the words of one"),
        ("evaluate m --likelihood 8 --refiner m", "--likelihood is of a model alone"),
        ("edit m a.png --image-encoder folder", "give one: --ip-adapter"),
    ],
)
def test_flags_that_cannot_apply_are_refused(line, words, capsys):
    assert main(shlex.split(line.replace("a->b", "'a->b'"))) == 64
    assert words in capsys.readouterr().err
