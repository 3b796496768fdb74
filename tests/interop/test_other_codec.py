"""A model with the autoencoder of another folder."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from demist import Pipeline
from demist.errors import DataError, MissingError, UsageError
from demist.interop import Reading, open_source
from demist.io import hub
from demist.networks import published

from .test_folders import NET as PIXELS
from .test_folders import write, write_net
from .test_pipelines_folders import NET, VAE, made, prompted

TINY = {"encoder_block_out_channels": [8, 8], "decoder_block_out_channels": [8, 8],
        "num_encoder_blocks": [1, 1], "num_decoder_blocks": [1, 1]}  # fmt: skip


@pytest.fixture
def model(tmp_path):
    made(tmp_path / "m", "StableDiffusionPipeline", NET)
    return tmp_path / "m"


def with_codec(model, codec):
    return Pipeline.load(model, Reading(codec=str(codec)))


def test_a_tiny_autoencoder_in_place_of_the_own(model, tmp_path):
    """The same latents, decoded by the other network, at its own scale."""
    net = write_net(tmp_path / "tiny", TINY, published.AutoencoderTiny).eval()
    plain, other = Pipeline.load(model), with_codec(model, tmp_path / "tiny")
    assert (plain.codec.scale.scale, other.codec.scale.scale) == (0.5, 1.0)
    z = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        expected = ((net.decode(z) + 1) * 127.5).clamp(0, 255).round()
    assert np.abs(other.decode(z).astype(int) - expected.numpy()).max() <= 1
    assert np.abs(other.decode(z).astype(int) - plain.decode(z)).max() > 10
    plans = [prompted(p).plan(2, text="x", steps=2) for p in (plain, other)]
    ends = [list(plan.states())[-1].x for plan in plans]
    assert torch.equal(*ends)


def test_the_autoencoder_of_a_whole_model(model, tmp_path):
    made(tmp_path / "other", "StableDiffusionPipeline", NET)
    vae = {**VAE, "scaling_factor": 0.25}
    write_net(tmp_path / "other/vae", vae, published.AutoencoderKL)
    assert with_codec(model, tmp_path / "other").codec.scale.scale == 0.25


@pytest.mark.filterwarnings("ignore:.* is a Stable")
def test_a_single_file_without_one(model, tmp_path):
    from .test_single_files import model as parts_of
    from .test_single_files import write_single

    source, networks, texts = parts_of("sd1", tmp_path / "x")
    file = tmp_path / "one.safetensors"
    write_single(file, "single", source, networks, texts, pytest.fail)
    tensors = {k: v for k, v in load_file(file).items() if not k.startswith("first_stage_model")}
    save_file(tensors, file)
    assert not open_source(file, Reading()).has("vae")
    write_net(tmp_path / "tiny", TINY, published.AutoencoderTiny)
    led = open_source(file, Reading(codec=str(tmp_path / "tiny")))
    assert led.has("vae")
    assert led.network("vae").kind == "AutoencoderTiny"


def test_latents_of_unlike_channels(model, tmp_path):
    """Each has its own mean and deviation, as in XL's pipelines of diffusers."""
    numbers = {"latents_mean": [0.1, -0.2, 0.3, 0.4], "latents_std": [0.5, 1.5, 2.0, 0.8]}
    write_net(tmp_path / "vae", {**VAE, **numbers, "scaling_factor": 0.5}, published.AutoencoderKL)
    codec = with_codec(model, tmp_path / "vae").codec
    z = torch.randn(2, 4, 8, 8)
    mean, std = (torch.tensor(numbers[key])[:, None, None] for key in numbers)
    with torch.no_grad():
        image = codec.net.decode(z * std / 0.5 + mean)
    expected = ((image + 1) * 127.5).clamp(0, 255).round()
    assert (codec.decode(z) - expected).abs().max() <= 1
    bad = {**VAE, "latents_mean": [0.1], "latents_std": [0.5]}
    write_net(tmp_path / "bad", bad, published.AutoencoderKL)
    with pytest.raises(DataError, match="does not say the scale of its latents: 1 means and 1"):
        with_codec(model, tmp_path / "bad")


def test_a_name_of_the_hub(model, tmp_path, monkeypatch):
    write_net(tmp_path / "tiny", TINY, published.AutoencoderTiny)
    monkeypatch.setattr(hub, "fetched", lambda spec, kind: {"hf:a/tiny": tmp_path / "tiny"}[spec])
    assert with_codec(model, "hf:a/tiny").codec.scale.scale == 1.0


def test_in_half_the_autoencoder_stays_whole(model, tmp_path):
    write_net(tmp_path / "tiny", TINY, published.AutoencoderTiny)
    pipeline = Pipeline.load(model, Reading(dtype="fp16", codec=str(tmp_path / "tiny")))
    assert {p.dtype for p in pipeline.codec.net.parameters()} == {torch.float32}
    assert {p.dtype for p in pipeline.denoiser.net.parameters()} == {torch.float16}


def test_what_is_saved_has_the_other_one(model, tmp_path):
    write_net(tmp_path / "tiny", TINY, published.AutoencoderTiny)
    pipeline = with_codec(model, tmp_path / "tiny")
    assert pipeline.origin.index["vae"] == ["diffusers", "AutoencoderTiny"]
    assert pipeline.origin.where("vae").startswith(str(tmp_path / "tiny"))
    assert pipeline.origin.where("unet") == str(model / "unet")


def test_what_is_refused(model, tmp_path):
    with pytest.raises(MissingError, match="nowhere holds no autoencoder: a folder with its conf"):
        with_codec(model, tmp_path / "nowhere")
    write_net(tmp_path / "wide", {**VAE, "latent_channels": 8}, published.AutoencoderKL)
    with pytest.raises(DataError, match=r"states of shape \(8, 8, 8\) and its network \(4, 8, 8\)"):
        with_codec(model, tmp_path / "wide")
    write_net(tmp_path / "unet", PIXELS)
    with pytest.raises(DataError, match="is a UNet2DModel, and no autoencoder"):
        with_codec(model, tmp_path / "unet")
    write(tmp_path / "unet/scheduler_config.json", {"_class_name": "DDPMScheduler"})
    with pytest.raises(UsageError, match="makes images without an autoencoder; leave out"):
        with_codec(tmp_path / "unet", tmp_path / "wide")
    with pytest.raises(UsageError, match="are its own codec's; leave it out"):
        Pipeline.load("digits", Reading(codec=str(tmp_path / "wide")))
