"""Flux and PixArt compute what diffusers' compute from the same weights; what they refuse.

The parity tests need diffusers, which the project does not depend on.
"""

import pytest
import torch

from demist.errors import DataError, UsageError
from demist.networks import published
from demist.networks.published.joint import turned

FLUX = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 12,
    "num_attention_heads": 2, "joint_attention_dim": 12, "pooled_projection_dim": 10,
    "axes_dims_rope": (2, 4, 6),
}  # fmt: skip
PIXART = {
    "num_attention_heads": 2, "attention_head_dim": 12, "num_layers": 2, "sample_size": 16,
    "cross_attention_dim": 24, "caption_channels": 12,
}  # fmt: skip
ALPHA = {**PIXART, "sample_size": 128, "caption_channels": None, "cross_attention_dim": 12}


def twins(cls, other):
    """Ours and theirs, with the same weights."""
    net = cls.from_json(dict(other.config), "here").eval()
    mine, their = net.state_dict(), other.state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in their.items()}
    weights = {k: 0.2 * torch.randn_like(v) + ("norm" in k) for k, v in their.items()}
    net.load_state_dict(weights)
    other.load_state_dict(weights)
    return net, other.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("guided", [False, True], ids=["schnell", "dev"])
def test_flux(guided):
    diffusers = pytest.importorskip("diffusers")
    options = {**FLUX, "guidance_embeds": guided}
    net, other = twins(published.FluxTransformer, diffusers.FluxTransformer2DModel(**options))
    assert net.channels == (4, 4)
    x, t = torch.randn(2, 4, 6, 10), torch.tensor([0.003, 0.7])
    states, pooled = torch.randn(2, 5, 12), torch.randn(2, 10)
    scale = torch.tensor([3.5, 1.0]) if guided else None
    pipe = diffusers.FluxPipeline
    with torch.no_grad():
        packed = other(
            pipe._pack_latents(x, 2, 4, 6, 10), states, pooled, t,
            pipe._prepare_latent_image_ids(2, 3, 5, "cpu", torch.float32), torch.zeros(5, 3), scale,
        ).sample  # fmt: skip
        expected = pipe._unpack_latents(packed, 6, 10, 1)
        cond = {"guidance": scale} if guided else {}
        found = net(x, 1000 * t, states=states, pooled=pooled, **cond)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("config", [PIXART, ALPHA], ids=["sigma", "alpha"])
def test_pixart(config):
    diffusers = pytest.importorskip("diffusers")
    other = diffusers.PixArtTransformer2DModel(**config)
    net, other = twins(published.PixArtTransformer, other)
    x, t = torch.randn(2, 4, 16, 12), torch.tensor([3.0, 700.0])
    states, mask = torch.randn(2, 5, 12), torch.tensor([[1.0, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    cond, added = {}, {"resolution": None, "aspect_ratio": None}
    if config is ALPHA:
        cond = {"sizes": torch.tensor([[32.0, 24.0], [512.0, 1024.0]])}
        added = {"resolution": cond["sizes"], "aspect_ratio": torch.tensor([[32 / 24], [0.5]])}
    with torch.no_grad():
        expected = other(x, states, t, added, encoder_attention_mask=mask).sample
        found = net(x, t, states=states, mask=mask, **cond)
        assert (net(x, t, states=states, **cond) - found).abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def small_flux(**options):
    return published.FluxTransformer.from_json({**FLUX, **options}, "here").eval()


def test_flux_knows_distances_only():
    """Far from the prompt or near it: among the image's tokens only differences of place count."""
    net = small_flux(num_layers=0, num_single_layers=1)
    q, k = torch.randn(2, 1, 1, 15, 12)

    near = net._rotation((3, 5), 0)
    logits = turned(q, near) @ turned(k, near).transpose(-1, -2)
    # Rows 1 to 3 of four are rows 0 to 2 of three, one further down.
    below = net._rotation((4, 5), 0)[5:]
    moved = turned(q, below) @ turned(k, below).transpose(-1, -2)
    torch.testing.assert_close(moved, logits, atol=1e-5, rtol=1e-5)
    assert (q @ k.transpose(-1, -2) - logits).abs().max() > 0.1


def test_flux_in_halves_stays_in_their_range():
    net = small_flux(num_layers=1).half()
    with torch.no_grad():
        net.single_transformer_blocks[0].norm.linear.bias[-24:] = 60_000
        net.single_transformer_blocks[0].proj_out.bias[:] = 60_000
        found = net(
            torch.randn(1, 4, 4, 4).half(), torch.tensor(3.0), states=torch.randn(1, 2, 12),
            pooled=torch.randn(1, 10),
        )  # fmt: skip
    assert found.isfinite().all()


def test_what_is_refused():
    with pytest.raises(UsageError, match=r"must be given the guidance scale; 3\.5 is usual"):
        small_flux(guidance_embeds=True)(
            torch.randn(1, 4, 4, 4), torch.tensor(3.0), states=torch.randn(1, 2, 12),
            pooled=torch.randn(1, 10),
        )  # fmt: skip
    with pytest.raises(DataError, match="the sum attention_head_dim = 12"):
        small_flux(axes_dims_rope=(2, 4, 4))
    with pytest.raises(DataError, match="patch_size = 2 and 16 channels"):
        small_flux(patch_size=2)
    with pytest.raises(DataError, match="norm_type = 'ada_norm_zero'"):
        published.PixArtTransformer.from_json({"norm_type": "ada_norm_zero"}, "here")
    with pytest.raises(DataError, match="patches of side 2 in 1 x 1 pixels"):
        published.PixArtTransformer.from_json({**PIXART, "sample_size": 1}, "here")
    with pytest.raises(UsageError, match="must be given the height and width"):
        published.PixArtTransformer.from_json(ALPHA, "here")(
            torch.randn(1, 4, 4, 4), torch.tensor(3.0), states=torch.randn(1, 2, 12)
        )
