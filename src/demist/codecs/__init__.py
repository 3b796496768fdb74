"""Codecs stand between data and state: nothing else knows range, discretisation or latents."""

from demist.codecs.autoencoder import KLAutoencoder
from demist.codecs.channels import ChannelScale
from demist.codecs.codec import Codec
from demist.codecs.pixels import Pixels
from demist.codecs.points import Standardize

__all__ = ["ChannelScale", "Codec", "KLAutoencoder", "Pixels", "Standardize"]
