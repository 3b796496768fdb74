"""Codecs with networks: shapes, scales, draws, and bits that do not depend on the batch."""

import math

import pytest
import torch

from demist.codecs import ChannelScale, KLAutoencoder, Pixels, Standardize
from demist.core import Seeded
from demist.errors import DataError, UsageError
from demist.networks import Autoencoder


def made(seed=0, **options):
    """A codec with random weights everywhere, also where they start at zero."""
    torch.manual_seed(seed)
    options = {"in_channels": 1, "latent_channels": 3, "channels": [8, 16]} | options
    net = Autoencoder(**options)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return KLAutoencoder(net)


def images(n, side=8):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, 1, side, side), dtype=torch.uint8, generator=generator)


def test_plain_codecs_are_lossless_and_keep_the_shape():
    for codec, shape in ((Pixels(), (3, 8, 8)), (Standardize((0.0, 1.0), 2.0), (2,))):
        assert codec.lossless
        assert codec.state_shape(shape) == codec.data_shape(shape) == shape
        assert dict(codec.components) == {}
        assert codec.to("cpu") is codec
    x = images(2)
    assert torch.equal(Pixels().encode(x, noise=torch.zeros_like), Pixels().encode(x))


def test_the_way_there_and_back_is_spelt_out():
    codec = KLAutoencoder(made().net, Pixels(), ChannelScale((0.5, -1.0, 0.0), 4.0))
    x = images(8)
    with torch.no_grad():
        mean, log_variance = codec.net.encode(x / 127.5 - 1)
    shift = torch.tensor([0.5, -1, 0])[:, None, None]
    z = codec.encode(x)
    torch.testing.assert_close(z, (mean - shift) * 4)
    noise = Seeded(range(8))(mean)
    drawn = mean + torch.exp(log_variance / 2) * noise
    torch.testing.assert_close(codec.encode(x, Seeded(range(8))), (drawn - shift) * 4)
    with torch.no_grad():
        rebuilt = Pixels().decode(codec.net.decode(mean))
    assert (codec.decode(z).int() - rebuilt.int()).abs().max() <= 1  # scaled and back: rounding
    assert codec.bounds is None
    assert not codec.lossless


def test_shapes_of_data_and_state():
    codec = made()
    assert codec.state_shape((1, 28, 32)) == (3, 7, 8)
    assert codec.data_shape((3, 7, 8)) == (1, 28, 32)
    assert codec.encode(images(2, 28)).shape[1:] == codec.state_shape((1, 28, 28))
    for wrong in ((3, 28, 28), (1, 28, 30), (2,)):
        with pytest.raises(UsageError, match="multiples of 4"):
            codec.state_shape(wrong)


def test_a_sample_has_the_same_bits_in_every_batch():
    codec, x = made(), images(19, 28)
    whole = codec.encode(x)
    for rows in ([0], [3, 17], list(range(5, 19))):
        assert torch.equal(codec.encode(x[rows]), whole[rows])
        assert torch.equal(codec.decode(whole[rows]), codec.decode(whole)[rows])


def test_nothing_in_a_codec_is_trained_by_using_it():
    codec = made()
    z = codec.encode(images(3))
    assert not z.requires_grad
    assert not codec.net.training


def test_the_scale_gives_mean_zero_and_variance_one():
    x = torch.randn(500, 2, 3, 3) * torch.tensor([0.2, 5])[:, None, None] + 7
    scale = ChannelScale.of(x)
    z = scale.encode(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    assert float(z.square().mean()) == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(z[:, 1].std() / z[:, 0].std(), x[:, 1].std() / x[:, 0].std())
    torch.testing.assert_close(scale.decode(z), x, atol=1e-5, rtol=1e-5)
    assert torch.equal(ChannelScale().encode(x), x)


@pytest.mark.parametrize("value", [0.0, math.nan, 1e9])
def test_a_codec_that_lost_the_data_is_refused(value):
    x = torch.full((4, 2, 2, 2), value)
    x[0] *= -1
    with pytest.raises(DataError, match="lost the data"):
        ChannelScale.of(x)
