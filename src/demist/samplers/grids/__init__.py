"""Where the steps are: one idea a file, found by the names of its grids."""

from demist.samplers.grids.functions import (
    angular,
    beta,
    cosine,
    exponential,
    karras,
    leading,
    linspace,
    log_snr,
    shifted,
    smooth,
    trailing,
    uniform,
)
from demist.samplers.grids.grid import (
    CLOSE,
    Grid,
    at_angles,
    between,
    count,
    discrete,
    ended,
    too_short,
)
from demist.samplers.grids.in_angle import AngularGrid, CosineGrid, SmoothGrid
from demist.samplers.grids.in_level import ExponentialGrid, KarrasGrid, LogSNRGrid
from demist.samplers.grids.in_steps import LeadingGrid, LinspaceGrid, TrailingGrid
from demist.samplers.grids.in_time import BetaGrid, ShiftedGrid, UniformGrid

__all__ = [
    "CLOSE",
    "AngularGrid",
    "BetaGrid",
    "CosineGrid",
    "ExponentialGrid",
    "Grid",
    "KarrasGrid",
    "LeadingGrid",
    "LinspaceGrid",
    "LogSNRGrid",
    "ShiftedGrid",
    "SmoothGrid",
    "TrailingGrid",
    "UniformGrid",
    "angular",
    "at_angles",
    "beta",
    "between",
    "cosine",
    "count",
    "discrete",
    "ended",
    "exponential",
    "karras",
    "leading",
    "linspace",
    "log_snr",
    "shifted",
    "smooth",
    "too_short",
    "trailing",
    "uniform",
]
