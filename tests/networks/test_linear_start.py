"""A new autoencoder in the published form is a linear code: the laws of its start."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from demist.errors import UsageError
from demist.evaluation.metrics.linear_code import linear_code
from demist.evaluation.metrics.psnr import psnr
from demist.networks import start_linear
from demist.networks.published import AutoencoderKL, AutoencoderKLConfig, VQModel, VQModelConfig


def pictures(count, seed):
    """Smooth images with a few edges, bytes of `(count, 3, 16, 16)`."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(count, 3, 6, 6))).float()
    x = F.interpolate(x, size=(16, 16), mode="bicubic", align_corners=False)
    x[:, :, 5:9] += torch.from_numpy(rng.normal(size=(count, 3, 1, 1))).float()
    return (127.5 + 50 * x).clamp(0, 255).round().to(torch.uint8).numpy()


X, OTHERS = pictures(200, 0), pictures(50, 1)


def units(x):
    return torch.from_numpy(x).float() / 127.5 - 1


def keys(channels, groups, latents, **further):
    return {
        "block_out_channels": channels,
        "down_block_types": ("DownEncoderBlock2D",) * len(channels),
        "up_block_types": ("UpDecoderBlock2D",) * len(channels),
        "norm_num_groups": groups,
        "latent_channels": latents,
        **further,
    }


def autoencoder(channels=(16, 24, 32), groups=1, latents=3, **further):
    torch.manual_seed(0)
    net = AutoencoderKL(AutoencoderKLConfig(**keys(channels, groups, latents, **further)))
    start_linear(net, units(X))
    return net.eval()


@pytest.mark.parametrize(
    "options",
    [{}, {"groups": 2}, {"channels": (24, 24)}, {"use_quant_conv": False}, {"latents": 6}],
    ids=str,
)
@torch.no_grad()
def test_the_encoder_computes_the_principal_components(options):
    """Also of images that it was not fitted to, at their borders too."""
    net = autoencoder(**options)
    mean, log_variance = net.encode(units(OTHERS))
    code = linear_code(X, net.downsample, net.latent_channels)
    fitted, wanted = code.encode(X), code.encode(OTHERS)
    wanted = wanted / fitted.square().mean((0, 2, 3)).sqrt()[:, None, None]
    sign = (wanted * mean).sum((0, 2, 3)).sign()[:, None, None]  # of an axis, it is arbitrary
    error = (mean - sign * wanted).square().mean().sqrt()
    assert error < 0.01  # of numbers with standard deviation 1
    assert log_variance.unique().tolist() == [-6.0]


@pytest.mark.parametrize("channels", [(16, 24, 32), (24, 24)], ids=str)
@torch.no_grad()
def test_the_start_is_no_worse_than_the_linear_code(channels):
    """A decoder sees the neighbours of a code too, and so may be better."""
    net = autoencoder(channels)
    rebuilt = net(units(OTHERS))[0]
    found = ((rebuilt.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    assert psnr(OTHERS, found) > linear_code(X, net.downsample, 3).psnr(OTHERS) - 0.3


@torch.no_grad()
def test_a_decoder_whose_levels_become_narrow_passes_what_they_hold():
    net = autoencoder((8, 16, 24))
    code = linear_code(X, net.downsample, 3).psnr(OTHERS)
    assert psnr_of(net(units(OTHERS))[0], units(OTHERS)) > code - 1.5


@torch.no_grad()
def test_a_network_with_a_codebook_starts_likewise():
    torch.manual_seed(0)
    net = VQModel(VQModelConfig(**keys((16, 24), 1, 3))).eval()
    start_linear(net, units(X))
    z = net.encode(units(X))[0]
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3), atol=0.01, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(3), atol=0.02, rtol=0)
    x = net.decoder(net.post_quant_conv(z))
    assert psnr_of(x, units(X)) > linear_code(X, 2, 3).psnr(X) - 0.3


def psnr_of(x, y):
    return 10 * float((4 / (x - y).square().mean()).log10())


def test_every_weight_on_the_way_can_learn():
    """Nothing that a residual branch needs is cut off on both sides."""
    net = autoencoder().train()
    x = units(X[:4])
    for step in range(2):
        net.zero_grad()
        rebuilt, mean, _ = net(x, torch.randn(4, 3, 4, 4))
        ((rebuilt - x).square().mean() + 0.01 * mean.square().mean()).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 1e-3 * p.grad.sign()
    still = [name for name, p in net.named_parameters() if not p.grad.abs().sum() > 0]
    assert not [name for name in still if "to_q" not in name and "to_k" not in name]
    assert step == 1


def test_networks_that_are_too_narrow_are_refused():
    with pytest.raises(UsageError, match=r"16 channels are too few .* a linear code of 8 numbers"):
        autoencoder(channels=(16, 16), latents=8)
