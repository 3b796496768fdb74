"""Folders of Flux and PixArt without diffusers and transformers: what is told to the network."""

import json
import math
from dataclasses import replace

import pytest
import torch

from demist import Pipeline, Sampling
from demist.conditions import Conditioner
from demist.core import Linear
from demist.errors import DataError, UsageError
from demist.model.fits import unshifted
from demist.networks import published
from demist.samplers import make_grid

from .test_folders import write, write_net

VAE = {
    "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1,
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    "scaling_factor": 0.5, "shift_factor": 0.25,
}  # fmt: skip
FLUX = {
    "in_channels": 16, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 12,
    "num_attention_heads": 2, "joint_attention_dim": 12, "pooled_projection_dim": 10,
    "axes_dims_rope": [2, 4, 6],
}  # fmt: skip
PIXART = {
    "num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "sample_size": 16,
    "cross_attention_dim": 24, "caption_channels": 12, "use_additional_conditions": True,
}  # fmt: skip
FLOW = "FlowMatchEulerDiscreteScheduler"
STATES = {
    "text.states": torch.cos(torch.arange(120.0)).reshape(2, 5, 12),
    "text.mask": torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 0, 0, 0]]),
}
T = torch.tensor(0.6, dtype=torch.float64)


def made(folder, kind, cls, config, scheduler, encoders):
    """A folder whose encoders are there, but empty: nobody opens them."""
    names = [*encoders, *(name.replace("text_encoder", "tokenizer") for name in encoders)]
    for name in names:
        (folder / name).mkdir(parents=True)
    parts = {name: ["diffusers", "x"] for name in (*names, "vae", "transformer")}
    write(folder / "model_index.json", {"_class_name": kind, **parts})
    write(folder / "scheduler/scheduler_config.json", {"_class_name": scheduler})
    write_net(folder / "vae", VAE, published.AutoencoderKL)
    net = write_net(folder / "transformer", config, cls)
    return Pipeline.load(folder), net.eval()


@pytest.mark.parametrize("dev", [True, False], ids=["dev", "schnell"])
def test_flux(tmp_path, dev):
    """The velocity at time 0.6 is what the network says at 600, told the guidance scale."""
    config = {**FLUX, "guidance_embeds": dev}
    encoders = ["text_encoder", "text_encoder_2"]
    pipeline, net = made(
        tmp_path, "FluxPipeline", published.FluxTransformer, config, FLOW, encoders
    )
    assert pipeline.shape == (3, 256, 256)
    assert pipeline.state_shape == (4, 128, 128)
    text = pipeline.conditioner.conditions["text"]
    assert text.long.length == text.long_length == (512 if dev else 256)
    cond = {"text.states": STATES["text.states"], "text.pooled": torch.randn(2, 10)}
    told = {}
    if dev:
        scale = pipeline.conditioner.encode_only(2, {"embedded_guidance": None})
        assert scale["embedded_guidance"].tolist() == [3.5, 3.5]
        cond |= scale
        told = {"guidance": torch.tensor([3.5, 3.5])}
    x = torch.randn(2, 4, 6, 10)
    with torch.no_grad():
        p = pipeline.denoiser(x, T, **cond)
        v = net(
            x, torch.tensor(600.0), states=cond["text.states"], pooled=cond["text.pooled"], **told
        )
    torch.testing.assert_close(p.eps - p.x0, v, atol=1e-5, rtol=1e-5)
    # One pixel of the latents is two of the image, and two of the latents are one token.
    with pytest.raises(UsageError, match="multiples of 4"):
        pipeline.sized((32, 30))


def shifted(u, shift):
    return shift * u / (1 + (shift - 1) * u)


def test_our_grid_is_moved_by_the_shift_of_the_model(tmp_path):
    """In dev the shift is exp(mu), where mu is a line in the number of tokens."""
    encoders = ["text_encoder", "text_encoder_2"]
    pipeline, _ = made(tmp_path, "FluxPipeline", published.FluxTransformer, FLUX, FLOW, encoders)
    pipeline = replace(pipeline, conditioner=Conditioner({}))
    path = tmp_path / "scheduler/scheduler_config.json"
    plain = make_grid("angular", 8, Linear(), 1.0)
    assert torch.equal(pipeline.plan(1, steps=8).grid, plain)
    write(path, {"_class_name": FLOW, "shift": 3.0})
    torch.testing.assert_close(pipeline.plan(1, steps=8).grid, shifted(plain, 3.0))
    write(path, {"_class_name": FLOW, "shift": 3.0, "use_dynamic_shifting": True,
                 "base_shift": 0.5, "max_shift": 1.15})  # fmt: skip
    # 128 x 128 latents are 4096 tokens, 16 x 24 are 96.
    torch.testing.assert_close(pipeline.plan(1, steps=8).grid, shifted(plain, math.exp(1.15)))
    small = math.exp(0.5 - 160 * 0.65 / 3840)
    torch.testing.assert_close(pipeline.plan(1, steps=8, size=(32, 48)).grid, shifted(plain, small))
    assert unshifted(pipeline, Sampling()) == Sampling()
    # What is named is taken as it is, and a start is where it begins.
    assert torch.equal(pipeline.plan(1, steps=8, grid="angular").grid, plain)
    part = pipeline.plan(1, steps=8, start=0.6, init=torch.zeros(1, 4, 128, 128)).grid
    assert part[0] == 0.6
    begun = 0.6 / (0.6 + math.exp(1.15) * 0.4)
    again = shifted(make_grid("angular", 8, Linear(), begun), math.exp(1.15))
    torch.testing.assert_close(part, again)
    for bad in ("x", 0, float("inf")):
        write(path, {"_class_name": FLOW, "shift": bad})
        with pytest.raises(DataError, match=r"scheduler_config\.json"):
            pipeline.plan(1)


@pytest.mark.parametrize(("kind", "length"), [("Alpha", 120), ("Sigma", 300)])
def test_pixart(tmp_path, kind, length):
    """The first half of what the network says is the noise; it is told mask and size."""
    pipeline, net = made(
        tmp_path, f"PixArt{kind}Pipeline", published.PixArtTransformer, PIXART, "DDIMScheduler",
        ["text_encoder"],
    )  # fmt: skip
    assert pipeline.shape == (3, 32, 32)
    text = pipeline.conditioner.conditions["text"]
    assert text.long.length == length
    assert text.masked
    wide = pipeline.sized((32, 48))
    sizes = wide.conditioner.encode_only(2, {"sizes": None})
    assert sizes["sizes"].tolist() == [[32, 48]] * 2
    assert pipeline.conditioner.encode_only(1, {"sizes": None})["sizes"].tolist() == [[32, 32]]
    x = torch.randn(2, 4, 16, 24)
    with torch.no_grad():
        p = wide.denoiser(x, T, **STATES, **sizes)
        said = net(
            x, torch.tensor(599.0), states=STATES["text.states"], mask=STATES["text.mask"],
            sizes=torch.tensor([[32.0, 48.0]] * 2),
        )  # fmt: skip
    torch.testing.assert_close(p.eps, said[:, :4], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(p.spread, (said[:, 4:] + 1) / 2, atol=1e-5, rtol=1e-5)


def test_the_class_that_pixart_was_published_under(tmp_path):
    made(
        tmp_path, "PixArtSigmaPipeline", published.PixArtTransformer, PIXART, "DDIMScheduler",
        ["text_encoder"],
    )  # fmt: skip
    config = tmp_path / "transformer/config.json"
    old = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single",
           "double_self_attention": False, "num_vector_embeds": None}  # fmt: skip
    config.write_text(json.dumps(json.loads(config.read_text()) | old))
    assert Pipeline.load(tmp_path).facts["network"] == "PixArtTransformer2DModel"
