"""Small models with random weights: of images in latents, of sounds, of points."""

import torch

from demist.codecs import KLAutoencoder, LogMel
from demist.codecs.points import Standardize
from demist.conditions import Conditioner
from demist.core import Denoiser, Linear, Velocity
from demist.model import Pipeline, Sampling
from demist.networks import MLP, Autoencoder, UNet


def shaken(net):
    """So that no layer gives zeros."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return net


def made(net, codec, shape, kind=None):
    denoiser = Denoiser(shaken(net), Linear(), Velocity()).eval()
    facts = {} if kind is None else {"kind": kind}
    return Pipeline(denoiser, codec, Conditioner(), shape, Sampling(steps=3), facts=facts)


def coded(codec, shape, kind=None):
    """A model of what a codec makes."""
    torch.manual_seed(1)
    channels = codec.state_shape(shape)[0]
    net = UNet(in_channels=channels, channels=(16,), norm_groups=4, head_dim=16, patch=1)
    return made(net, codec, shape, kind)


def coder(channels):
    torch.manual_seed(0)
    net = Autoencoder(in_channels=channels, latent_channels=2, channels=(8,), norm_groups=4)
    return shaken(net)


def in_latents(linear=True):
    """Images of 16 x 16 pixels; with `linear` the codec knows colours of its latents."""
    codec = KLAutoencoder(coder(3))
    x = torch.randint(0, 256, (32, 3, 4, 4), dtype=torch.uint8)
    x = x.repeat_interleave(4, -1).repeat_interleave(4, -2)
    codec = codec.coloured(codec.latents(x), x) if linear else codec
    return coded(codec, (3, 16, 16))


def of_sounds(latents=False):
    """A quarter of a second at 4 kHz."""
    mel = LogMel(4000, 64, 256)
    return coded(KLAutoencoder(coder(1), mel) if latents else mel, (1, 1024), "sounds:rate=4000")


def of_points():
    torch.manual_seed(2)
    return made(MLP(features=2, width=32), Standardize((0.0, 0.0), 1.0), (2,), "points")
