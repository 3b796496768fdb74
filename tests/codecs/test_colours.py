"""A preview of latents: exact where the codec is linear, and never more than a look."""

import torch
import torch.nn.functional as F
from test_autoencoder_codec import images, made
from torch import nn

from demist.codecs import ChannelScale, KLAutoencoder
from demist.codecs.colours import fit_colours, small_images


class Means(nn.Module):
    """A linear autoencoder: means of blocks of 4 x 4 pixels, mixed."""

    in_channels, latent_channels, downsample, config = 3, 4, 4, {}

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mix = nn.Parameter(torch.randn(4, 3, generator=generator))

    def encode(self, x):
        z = torch.einsum("kc,bchw->bkhw", self.mix, F.avg_pool2d(x, 4)) + 0.5
        return z, torch.full_like(z, -30.0)

    def decode(self, z):
        small = torch.einsum("ck,bkhw->bchw", torch.linalg.pinv(self.mix), z - 0.5)
        return small.repeat_interleave(4, -1).repeat_interleave(4, -2)


def coloured():
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 256, (20, 3, 16, 24), dtype=torch.uint8, generator=generator)
    codec = KLAutoencoder(Means())
    z = codec.latents(x)
    return codec.coloured(z, x), x, z


def test_the_preview_of_a_linear_codec_is_exact():
    codec, x, z = coloured()
    scaled = codec.measured(z, "channel")
    shown = scaled.preview(scaled.encode(x))
    assert (shown.dtype, shown.shape) == (torch.uint8, x.shape)
    wanted = F.avg_pool2d(x.float(), 4)
    assert (shown[..., ::4, ::4].float() - wanted).abs().max() <= 0.51
    # Every pixel of a block alike, and as what the codec itself decodes.
    assert torch.equal(
        shown, shown[..., ::4, ::4].repeat_interleave(4, -1).repeat_interleave(4, -2)
    )
    assert (shown.int() - scaled.decode(scaled.encode(x)).int()).abs().max() <= 1


def test_colours_are_least_squares():
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(30, 3, 4, 4, generator=generator)
    x = torch.randn(30, 1, 8, 8, generator=generator)
    small = F.avg_pool2d(x, 2)

    def error(table):
        return (small_images(table, z) - small).square().mean()

    best = fit_colours(z, x)
    assert len(best) == 1
    assert len(best[0]) == 4
    for i in range(4):
        for way in (-1e-2, 1e-2):
            moved = [*best[0]]
            moved[i] += way
            assert error(best) < error((tuple(moved),))


def test_a_channel_that_never_changes_gets_no_weight():
    z = torch.randn(30, 2, 4, 4)
    z[:, 1] = 7
    ((a, b, _),) = fit_colours(z, z[:, :1])
    assert abs(a - 1) < 1e-5
    assert abs(b) < 1e-5


def test_without_colours_a_preview_decodes():
    codec = made()
    z = codec.encode(images(2))
    assert torch.equal(codec.preview(z), codec.decode(z))


def test_scales_per_channel_and_for_all():
    x = torch.randn(400, 2, 3, 3) * torch.tensor([0.2, 5])[:, None, None] + torch.tensor(
        [7.0, -1.0]
    ).reshape(2, 1, 1)
    each, one = ChannelScale.of(x, "channel"), ChannelScale.of(x, "one")
    z = each.encode(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std((0, 2, 3)), torch.ones(2), atol=1e-2, rtol=0)
    torch.testing.assert_close(each.decode(z), x, atol=1e-5, rtol=1e-5)
    z = one.encode(x)
    assert abs(float(z.mean())) < 1e-4
    assert abs(float(z.square().mean()) - 1) < 1e-4
    assert one.shift[0] == one.shift[1]
    wide = ChannelScale.of(x, "channel", torch.full_like(x, 3.0))
    assert abs(each.scale[0] ** -2 + 3 - wide.scale[0] ** -2) < 1e-5


def test_scales_under_published_keys_mean_the_same():
    x = torch.randn(5, 2, 3, 3)
    for scale in (
        ChannelScale(),
        ChannelScale(scale=0.18215),
        ChannelScale((0.5, 0.5), 2.0),
        ChannelScale((0.5, -1.0), 2.0),
        ChannelScale((0.5, 0.5), (2.0, 0.25)),
        ChannelScale((), (2.0, 0.25)),
    ):
        keys = scale.published
        back = ChannelScale.of_published(keys, 2)
        torch.testing.assert_close(back.encode(x), scale.encode(x))
        # As diffusers undoes it.
        z, means, stds = scale.encode(x), keys["latents_mean"], keys["latents_std"]
        if means is None:
            again = z / keys["scaling_factor"] + keys["shift_factor"]
        else:
            mean, std = (torch.tensor(v)[:, None, None] for v in (means, stds))
            again = z * std / keys["scaling_factor"] + mean
        torch.testing.assert_close(again, x)
