"""A text-to-image model in latents that was trained here is a StableDiffusionPipeline's folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demist import Pipeline, interop, recipes
from demist.__main__ import main
from demist.codecs import ChannelScale, KLAutoencoder
from demist.conditions import ClipText
from demist.config import update
from demist.data import Dataset
from demist.errors import UsageError
from demist.model.learned_codec import LearnedCodec
from demist.networks.published import AutoencoderKL
from demist.training.build import build
from demist.training.run import train

KL = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    "norm_num_groups": 4, "sample_size": 16,
}  # fmt: skip
SMALL = {
    "codec": "codec", "channels_per_level": [8, 16], "cross_levels": [0, 1], "head_dim": 8,
    "norm_groups": 4, "batch_size": 4, "steps": 3, "budget": None, "precision": "fp32",
    "device": "cpu", "sample_steps": 2, "sample_count": 2, "log_every": "100", "lr": 0.01,
    "warmup": 0, "text_width": 32, "text_depth": 1, "text_vocabulary": 560, "text_length": 24,
    "size": None, "channels": None,
}  # fmt: skip
SHIFT, SCALES = (0.5, -0.25, 0.1, 1.0), (0.7, 1.3, 1.0, 2.0)
PROMPTS = ["a red dot", "many blue lines over green"]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stirred(net, seed):
    """Every weight away from what it begins with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return net


def codec(scale=SCALES, quant=True):
    parts = {"use_quant_conv": quant, "use_post_quant_conv": quant}
    net = stirred(AutoencoderKL.from_json({**KL, **parts}, "here").eval(), 1)
    return KLAutoencoder(net.requires_grad_(False), scale=ChannelScale(SHIFT, scale))


def pages():
    x = np.random.default_rng(0).integers(0, 256, (8, 3, 8, 16), dtype=np.uint8)
    return Dataset(x, np.arange(8) % 2, ("a", "b"), texts=tuple(PROMPTS * 4), name="pages")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    where = tmp_path_factory.mktemp("trained")
    place = where / "codec"
    LearnedCodec(codec(1.0), (3, 8, 16), {}).save(place)
    options = {**SMALL, "codec": str(place), "runs": str(where / "runs"), "labels": False}
    return update(recipes.find("sd").config(), options)


@pytest.fixture(scope="module")
def run(config):
    return train(config, data=pages(), quiet=True)


@pytest.fixture(scope="module")
def ours(run):
    """The model of the run, with weights that say something."""
    made = Pipeline.from_run(run)
    stirred(made.denoiser.net, 2)
    return replace(made, codec=replace(made.codec, scale=ChannelScale(SHIFT, SCALES)))


@pytest.fixture(scope="module")
def folder(ours, tmp_path_factory):
    return ours.save_published(tmp_path_factory.mktemp("out") / "m")


def states(ours, prompts):
    """What the model's own tower makes of prompts."""
    read = ours.conditioner.conditions["text"].encode(prompts, len(prompts))
    with torch.no_grad():
        return ours.denoiser.net.telling.parts["text"].reader(read["tokens"])[0]


@pytest.mark.parametrize("scale", [SCALES, 1.7], ids=["each", "one"])
@pytest.mark.parametrize("quant", [True, False], ids=["with", "without"])
def test_an_autoencoder_takes_what_is_done_to_its_latents(scale, quant):
    made = codec(scale, quant)
    net = interop.with_factor(made, 0.18215)
    theirs = KLAutoencoder(net, scale=ChannelScale(scale=0.18215))
    assert net.config["scaling_factor"] == 0.18215
    x = pages().x[:2]
    data = torch.from_numpy(x)
    z, too = made.encode(data), theirs.encode(data)
    torch.testing.assert_close(too, z, atol=2e-5, rtol=2e-5)
    variance, variance_too = (c.moments(data)[1].exp() for c in (made, theirs))
    scales = torch.tensor(scale).expand(4)[:, None, None]
    torch.testing.assert_close(variance_too.sqrt() * 0.18215, variance.sqrt() * scales)
    images = [c.net.decode(c.scale.decode(z)) for c in (made, theirs)]
    torch.testing.assert_close(*images, atol=1e-5, rtol=1e-5)
    assert images[0].std() > 0.01


def test_a_run_of_the_recipe_is_exported_by_a_command(run, tmp_path, capsys):
    place = tmp_path / "m"
    assert main(["export", str(run.path), str(place), "--format", "diffusers"]) in (0, None)
    assert str(place) in capsys.readouterr().out
    assert isinstance(Pipeline.from_run(run).conditioner.conditions["text"], ClipText)
    names = {p.name for p in place.iterdir()}
    assert names == {"model_index.json", "README.md", "scheduler", "text_encoder", "tokenizer",
                     "unet", "vae"}  # fmt: skip
    assert "library_name: diffusers" in (place / "README.md").read_text()
    assert main(["export", str(run.path), str(place), "--format", "diffusers"]) != 0


def test_the_folder_says_what_diffusers_asks_for(ours, folder):
    index, scheduler, unet, vae = (
        json.loads((folder / name).read_text())
        for name in ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json",
                     "vae/config.json")
    )  # fmt: skip
    assert index["_class_name"] == "StableDiffusionPipeline"
    assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
    assert index["safety_checker"] == [None, None]
    assert (scheduler["_class_name"], scheduler["beta_schedule"]) == (
        "DDIMScheduler", "scaled_linear",
    )  # fmt: skip
    assert (scheduler["clip_sample"], scheduler["steps_offset"]) == (False, 1)
    assert (unet["sample_size"], unet["cross_attention_dim"]) == ([4, 8], 32)
    assert (vae["scaling_factor"], vae["shift_factor"]) == (0.18215, None)
    tower = ours.denoiser.net.telling.parts["text"].reader.state_dict()
    written = load_file(folder / "text_encoder/model.safetensors")
    assert written.keys() == tower.keys()
    assert all(torch.equal(written[k], v) for k, v in tower.items())


def test_our_reader_opens_the_same_model_without_transformers(ours, folder):
    """All but the text encoder, whose states are given here."""
    theirs = Pipeline.load(folder)
    assert (theirs.shape, theirs.state_shape) == (ours.shape, ours.state_shape)
    x = torch.randn(2, 4, 4, 8, generator=torch.Generator().manual_seed(1))
    cond = ours.conditioner.encode(2, {"text": PROMPTS})
    null = ours.conditioner.encode(2, {"text": None})
    told = states(ours, PROMPTS)
    assert (told[0] - told[1]).abs().max() > 0.1
    for index in (1, 401, 801, 999):
        t = torch.tensor((index + 1) / 1000, dtype=torch.float64)
        with torch.no_grad():
            for given, tokens in ((cond, told), (null, states(ours, ["", ""]))):
                a = ours.denoiser(x, t, **given).eps
                b = theirs.denoiser(x, t, text=tokens).eps
                assert a.std() > 0.01
                torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    z = torch.randn(2, 4, 4, 8, generator=torch.Generator().manual_seed(2))
    a, b = (p.codec.net.decode(p.codec.scale.decode(z)) for p in (ours, theirs))
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text_tower": "own"}, r"is told text \(text\); train it with --text-tower clip"),
        (
            {"labels": True},
            r"is told .*label \(label\).*without other conditions",
        ),
        ({"codec": None}, "those of a Pixels; train it with --codec kl"),
        ({"clock": "angle"}, "diffusers gives its networks an index.*--recipe sd"),
        ({"network": "unet"}, "a UNet is a network of demist's own"),
    ],
    ids=["tower", "label", "codec", "clock", "network"],
)
def test_what_diffusers_cannot_say_is_refused(config, options, words, tmp_path):
    pipeline = build(update(config, options), pages()).pipeline
    with pytest.raises(UsageError, match=words):
        pipeline.save_published(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_clamped_latents_are_refused(ours, tmp_path):
    clamped = ours.denoiser.seeing(ours.denoiser.clock, (-1, 1))
    with pytest.raises(UsageError, match="nor clamps latents"):
        replace(ours, denoiser=clamped).save_published(tmp_path / "m")


@pytest.mark.filterwarnings("ignore")
def test_diffusers_makes_the_same_image(ours, folder):
    diffusers = pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    opened = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    opened.set_progress_bar_config(disable=True)
    assert type(opened.scheduler) is diffusers.DDIMScheduler
    start = torch.randn(2, 4, 4, 8, generator=torch.Generator().manual_seed(3))
    theirs = opened(
        PROMPTS, latents=start.clone(), guidance_scale=5.0, num_inference_steps=5,
        output_type="pt",
    ).images  # fmt: skip
    grid = [802 / 1000, 602 / 1000, 402 / 1000, 202 / 1000, 2 / 1000, 0.0]
    asked = {"text": PROMPTS, "guidance": 5.0, "init": start}
    ways = [
        (ours, {"solver": "ddim", "grid": grid}),
        (Pipeline.load(folder), {"solver": "published", "steps": 5}),
        (Pipeline.load(folder), {"solver": "ddim", "grid": grid}),
    ]
    assert theirs.std() > 0.05
    for pipeline, how in ways:
        z = [*pipeline.plan(2, **how, **asked).states()][-1].x
        x = pipeline.codec.net.decode(pipeline.codec.scale.decode(z)).clamp(-1, 1)
        assert (x / 2 + 0.5 - theirs).abs().max() <= 1e-5
    plain = [*ours.plan(2, solver="ddim", grid=grid, init=start, text=PROMPTS,
                        guidance=1.0).states()][-1].x  # fmt: skip
    assert (plain - z).abs().max() > 0.01


@pytest.mark.filterwarnings("ignore")
def test_one_file_is_the_same_model(ours, folder, tmp_path):
    pytest.importorskip("transformers")
    told = []
    file = ours.save_published(tmp_path / "one.safetensors", "single", say=told.append)
    asked = {"text": PROMPTS, "guidance": 5.0, "steps": 3, "solver": "published"}
    images = [Pipeline.load(place).sample(2, **asked) for place in (file, folder)]
    assert images[0].std() > 1
    np.testing.assert_array_equal(*images)
    assert told == []
