"""A model trained here in the published form is a folder of diffusers, and the same model there."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demist import Pipeline, recipes
from demist.__main__ import main
from demist.config import update
from demist.core import make_schedule
from demist.data import Dataset
from demist.errors import UsageError
from demist.interop import read_scheduler
from demist.interop.trained import scheduler_of
from demist.networks import UNet2DNetwork
from demist.training.build import build
from demist.training.run import train

SMALL = {
    "channels_per_level": [8, 16], "attention_levels": [1], "head_dim": 4, "norm_groups": 4,
    "batch_size": 4, "steps": 3, "budget": None, "precision": "fp32", "device": "cpu",
    "sample_steps": 2, "sample_count": 4, "log_every": "100", "lr": 0.01, "warmup": 0,
}  # fmt: skip
CONFIG = update(recipes.find("ddpm").config(), SMALL)
INDICES = [0, 1, 37, 500, 900, 999]


def pictures(height=8, width=16):
    x = np.random.default_rng(0).integers(0, 256, (8, 3, height, width), dtype=np.uint8)
    return Dataset(x, np.arange(8) % 2, ("a", "b"), name="noise")


def config(**options):
    return update(CONFIG, options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    where = str(tmp_path_factory.mktemp("runs"))
    return train(config(runs=where), data=pictures(), quiet=True)


@pytest.fixture
def folder(run, tmp_path, capsys):
    assert main(["export", str(run.path), str(tmp_path / "m"), "--format", "diffusers"]) in (
        0,
        None,
    )
    return tmp_path / "m"


def predictions(pipeline, bounds):
    x = torch.randn(2, 3, 8, 16, generator=torch.Generator().manual_seed(1))
    denoiser = pipeline.denoiser.seeing(pipeline.denoiser.clock, bounds)
    with torch.no_grad():
        found = [denoiser(x, torch.tensor((i + 1) / 1000, dtype=torch.float64)) for i in INDICES]
    return [torch.stack([getattr(p, name) for p in found]) for name in ("eps", "x0")]


def test_what_is_trained_is_exported_and_predicts_the_same(run, folder):
    ours, theirs = Pipeline.from_run(run), Pipeline.load(folder)
    assert isinstance(ours.denoiser.net, UNet2DNetwork)
    assert ours.denoiser.input_std is None
    assert theirs.denoiser.bounds == ours.denoiser.bounds == (-1, 1)
    assert theirs.shape == ours.shape == (3, 8, 16)
    (eps, x0), (eps_too, x0_too) = predictions(ours, None), predictions(theirs, None)
    assert eps.std() > 0.01
    assert torch.equal(eps, eps_too)
    assert (x0 - x0_too).abs().max() <= 1e-6 * x0.abs().max()
    clamped = [predictions(p, (-1, 1))[1] for p in (ours, theirs)]
    assert (clamped[0] - clamped[1]).abs().max() <= 3e-6  # sigma^2 = 1e-4 from float32
    asked = {"steps": 5, "solver": "ddim", "grid": "uniform", "seed": 3}
    a, b = ([*p.plan(3, **asked).states()][-1].x for p in (ours, theirs))
    assert (a - b).abs().max() <= 1e-5
    np.testing.assert_array_equal(ours.sample(3, **asked), theirs.sample(3, **asked))


def test_its_files_are_those_of_diffusers(run, folder):
    index = json.loads((folder / "model_index.json").read_text())
    assert index["_class_name"] == "DDPMPipeline"
    assert index["unet"] == ["diffusers", "UNet2DModel"]
    assert index["scheduler"] == ["diffusers", "DDPMScheduler"]
    scheduler = json.loads((folder / "scheduler/scheduler_config.json").read_text())
    assert {k: scheduler[k] for k in ("beta_schedule", "beta_start", "beta_end")} == {
        "beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02,
    }  # fmt: skip
    assert (scheduler["prediction_type"], scheduler["clip_sample"]) == ("epsilon", True)
    unet = json.loads((folder / "unet/config.json").read_text())
    assert unet["sample_size"] == [8, 16]
    tensors = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    net = Pipeline.from_run(run).denoiser.net.net
    assert tensors.keys() == net.state_dict().keys()
    assert all(torch.equal(tensors[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    "schedule", ["vp", "cosine", "sigmoid", "ddpm-cosine", "ddpm-linear", "vp:zero_terminal=1"]
)
def test_a_schedule_is_read_back_to_float32(schedule):
    options = {"schedule": schedule, "parameterization": "v", "bounded": False}
    denoiser = build(config(**options), pictures()).denoiser
    described = scheduler_of(denoiser)
    assert ("trained_betas" in described) == (schedule != "ddpm-linear")
    read = read_scheduler(described, "here")
    assert (read.parameterization, read.bounds) == (denoiser.parameterization, None)
    assert read.clock == denoiser.clock
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    for found, wanted in zip(read.schedule(times), make_schedule(schedule)(times), strict=True):
        assert (found**2 - wanted**2).abs().max() < 4e-7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "linear"}, "does not preserve variance"),
        ({"clock": "angle"}, "diffusers gives its networks an index"),
        ({"parameterization": "velocity", "schedule": "vp"}, "knows eps, x0 and v"),
        ({"network": "unet"}, "a UNet is a network of demist's own.*--recipe ddpm"),
    ],
    ids=["schedule", "clock", "prediction", "network"],
)
def test_what_diffusers_cannot_say_is_refused(options, words, tmp_path):
    pipeline = build(config(**options), pictures()).pipeline
    with pytest.raises(UsageError, match=words):
        pipeline.save_published(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_scaled_input_is_refused():
    denoiser = build(CONFIG, pictures()).denoiser
    denoiser.input_std = 0.5
    with pytest.raises(UsageError, match=r"input_std = 0.5"):
        scheduler_of(denoiser)


def test_conditions_and_sides_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"no other conditions.*label; use --no-labels"):
        build(config(labels=True), pictures())
    with pytest.raises(UsageError, match="7x16 cannot be halved 1 times; use --size 8x16"):
        build(config(), pictures(7))
    with pytest.raises(UsageError, match="head_dim=5 does not divide"):
        build(config(head_dim=5), pictures())


def test_a_learned_variance_is_kept(tmp_path):
    pipeline = build(config(variance_steps=10), pictures()).pipeline
    pipeline.save_published(tmp_path / "m")
    again = Pipeline.load(tmp_path / "m")
    assert again.denoiser.learn_variance
    scheduler = json.loads((tmp_path / "m/scheduler/scheduler_config.json").read_text())
    assert scheduler["variance_type"] == "learned_range"


@pytest.mark.filterwarnings("ignore")
def test_diffusers_makes_the_same_image(run, folder):
    diffusers = pytest.importorskip("diffusers")
    opened = diffusers.DDPMPipeline.from_pretrained(folder)
    opened.set_progress_bar_config(disable=True)
    scheduler = diffusers.DDIMScheduler.from_config(opened.scheduler.config)
    scheduler.set_timesteps(5)
    x = start = torch.randn(2, 3, 8, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for t in scheduler.timesteps:  # as here, eps is made anew where x0 is clamped
            eps = opened.unet(x, t).sample
            x = scheduler.step(eps, t, x, use_clipped_model_output=True).prev_sample
    grid = [(t.item() + 1) / 1000 for t in scheduler.timesteps] + [0.0]
    for pipeline in (Pipeline.from_run(run), Pipeline.load(folder)):
        found = [*pipeline.plan(2, solver="ddim", grid=grid, init=start).states()][-1].x
        assert (found - x).abs().max() <= 5e-6 * x.std()
    asked = {"steps": 4, "solver": "published", "noise": "torch", "seed": 5}
    image = Pipeline.load(folder).sample(1, **asked)[0].transpose(1, 2, 0)
    theirs = opened(
        generator=torch.Generator().manual_seed(5), num_inference_steps=4, output_type="np"
    ).images[0]
    assert np.abs(theirs * 255 - image).max() <= 0.51  # bytes are rounded
