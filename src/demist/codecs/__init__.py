"""Codecs own the range and the discretisation of data: nothing else knows them.

A codec has `encode` (data as stored -> what the model sees) and `decode` (back).
"""

from demist.codecs.pixels import Pixels
from demist.codecs.points import Standardize

__all__ = ["Pixels", "Standardize"]
