"""Codecs stand between data and state: nothing else knows range, discretisation or latents."""

from demist.codecs.autoencoder import Coder, KLAutoencoder, drawn
from demist.codecs.channels import ChannelScale, Per
from demist.codecs.codec import Codec, Draw, require_finite
from demist.codecs.flat import Flat
from demist.codecs.log_mel import LogMel, hop_of
from demist.codecs.make import CODECS
from demist.codecs.pixels import Pixels
from demist.codecs.points import Standardize
from demist.codecs.vector_quantised import VectorQuantised
from demist.codecs.wave import Wave

__all__ = [
    "CODECS",
    "ChannelScale",
    "Codec",
    "Coder",
    "Draw",
    "Flat",
    "KLAutoencoder",
    "LogMel",
    "Per",
    "Pixels",
    "Standardize",
    "VectorQuantised",
    "Wave",
    "colours",
    "drawn",
    "hop_of",
    "mel",
    "require_finite",
    "tiles",
]
