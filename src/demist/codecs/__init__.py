"""Codecs own the range and the discretisation of data: nothing else knows them."""

from demist.codecs.codec import Codec
from demist.codecs.pixels import Pixels
from demist.codecs.points import Standardize

__all__ = ["Codec", "Pixels", "Standardize"]
