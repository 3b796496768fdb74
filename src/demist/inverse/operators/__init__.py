"""Operators, one file each, found by their names."""

from demist.inverse.operators.blur import Blur
from demist.inverse.operators.box import Box, Half, require_image
from demist.inverse.operators.colour import Colour
from demist.inverse.operators.dense import Dense
from demist.inverse.operators.function import Function
from demist.inverse.operators.gaps import Gaps
from demist.inverse.operators.mask import Mask
from demist.inverse.operators.motion import Motion
from demist.inverse.operators.random import Random
from demist.inverse.operators.sr import LowResolution
from demist.inverse.operators.through_codec import Scaled, ThroughCodec

__all__ = [
    "Blur",
    "Box",
    "Colour",
    "Dense",
    "Function",
    "Gaps",
    "Half",
    "LowResolution",
    "Mask",
    "Motion",
    "Random",
    "Scaled",
    "ThroughCodec",
    "require_image",
]
