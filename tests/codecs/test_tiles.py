"""Images in tiles, types of autoencoders, and NaN that goes away in fp32."""

import pytest
import torch
from torch import nn

from demist.codecs import KLAutoencoder
from demist.codecs.tiles import in_tiles
from demist.errors import NotFiniteError
from demist.model.components import codec_json
from demist.networks import Autoencoder


def halved(x):
    return (x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5)),)


def doubled(x):
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return large, -large


@pytest.mark.parametrize("size", [(8, 8), (14, 14), (22, 36), (6, 40), (40, 6), (16, 18)])
@pytest.mark.parametrize(("tile", "overlap"), [(7, 2), (8, 0), (3, 2), (99, 9)])
def test_what_looks_at_no_neighbours_is_the_same_in_tiles(size, tile, overlap):
    x = torch.randn(2, 3, *size)
    (small,) = in_tiles(halved, x, tile, overlap, down=2, up=1)
    torch.testing.assert_close(small, halved(x)[0])
    for found, expected in zip(in_tiles(doubled, x, tile, overlap, 1, 2), doubled(x), strict=True):
        torch.testing.assert_close(found, expected)


def test_tiles_have_the_full_size_and_blend_evenly():
    """Tile k says k everywhere: the result goes linearly from each to the next."""
    seen = []

    def number(x):
        seen.append(tuple(x.shape))
        return (torch.full_like(x, float(len(seen) - 1)),)

    (found,) = in_tiles(number, torch.zeros(1, 1, 4, 14), 8, 4, 1, 1)
    assert seen == [(1, 1, 4, 8)] * 3
    row = found[0, 0, 0]
    # Tiles begin at 0, 4 and 6, so that three of them share the pixels 6 and 7.
    assert row[:4].eq(0).all()
    assert row[12:].eq(2).all()
    assert row.diff().ge(0).all()
    torch.testing.assert_close(row[4], torch.tensor(0.125))


def codec(**options):
    torch.manual_seed(0)
    net = Autoencoder(in_channels=3, latent_channels=2, channels=[8, 16])
    for p in net.parameters():
        p.data.add_(0.1 * torch.randn_like(p))
    return KLAutoencoder(net.eval().requires_grad_(False), at_once=1, **options)


def test_images_no_larger_than_a_tile_have_the_same_bits():
    x = torch.randint(0, 256, (2, 3, 32, 16), dtype=torch.uint8)
    whole, tiled = codec(), codec(tile=32)
    assert whole.net.downsample == 4
    z = whole.encode(x)
    assert torch.equal(tiled.encode(x), z)
    assert torch.equal(tiled.decode(z), whole.decode(z))


def test_larger_images_are_nearly_the_same_and_no_call_is_larger_than_a_tile():
    x = torch.randint(0, 256, (1, 3, 64, 48), dtype=torch.uint8)
    whole, tiled = codec(), codec(tile=32)
    z = whole.encode(x)
    sides = []
    for name in ("encode", "decode"):
        call = getattr(tiled.net, name)
        setattr(tiled.net, name, lambda part, call=call: sides.append(part.shape[2:]) or call(part))
    # Tiles of 8 x 8 latents see little around them; misplaced ones would be off by 2 var.
    assert (tiled.encode(x) - z).square().mean() < 0.2 * z.var()
    found = tiled.decode(z).float()
    assert sides == [(32, 32)] * 6 + [(8, 8)] * 6
    assert (found - whole.decode(z).float()).square().mean() < 0.2 * found.var()


class Spoiled(nn.Module):
    """Doubles, and gives NaN in half precision."""

    in_channels, latent_channels, downsample, config = 3, 3, 1, None

    def __init__(self, always=False):
        super().__init__()
        self.weight, self.always, self.calls = nn.Parameter(torch.full((), 2.0)), always, []

    def decode(self, z):
        assert z.dtype == self.weight.dtype
        self.calls.append(z.dtype)
        bad = self.always or z.dtype != torch.float32
        return z * self.weight * (torch.nan if bad else 1)

    def encode(self, x):
        return self.decode(x), x


@pytest.mark.parametrize("tile", [0, 2])
def test_nan_of_a_half_is_coded_again_in_fp32_and_told(tile):
    made = KLAutoencoder(Spoiled().bfloat16(), at_once=2, tile=tile)
    z = torch.full((2, 3, 2, 2), 0.25)
    with pytest.warns(UserWarning, match="NaN or infinity in bfloat16: it runs again in float32"):
        assert made.decode(z).eq(191).all()
    assert made.decode(z).eq(191).all()  # not said again
    assert made.net.calls == [torch.bfloat16, torch.float32, torch.float32]
    made = KLAutoencoder(Spoiled().bfloat16(), at_once=2)
    with pytest.warns(UserWarning, match="again in float32"):
        assert made.encode(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)).eq(2).all()


def test_nan_of_fp32_is_an_error():
    made = KLAutoencoder(Spoiled(always=True), at_once=2)
    with pytest.raises(NotFiniteError):
        made.decode(torch.zeros(2, 3, 2, 2))
    assert made.net.calls == [torch.float32]


def test_how_it_runs_is_not_saved():
    assert codec_json(codec(tile=32), str) == codec_json(codec(), str)
    assert "tile" not in codec_json(codec(tile=32), str)
