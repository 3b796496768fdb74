"""The grids as functions of the number of steps, for sampling by hand: `smooth(20, schedule)`."""

from torch import Tensor

from demist.core import Linear, Schedule
from demist.samplers.grids.in_angle import AngularGrid, CosineGrid, SmoothGrid
from demist.samplers.grids.in_level import ExponentialGrid, KarrasGrid, LogSNRGrid
from demist.samplers.grids.in_steps import LeadingGrid, LinspaceGrid, TrailingGrid
from demist.samplers.grids.in_time import BetaGrid, ShiftedGrid, UniformGrid

_ANY = Linear()
"""For grids that do not ask for the schedule."""


def uniform(n: int, start: float = 1.0) -> Tensor:
    """See `UniformGrid`."""
    return UniformGrid(start)(n, _ANY)


def shifted(n: int, shift: float = 3.0, start: float = 1.0) -> Tensor:
    """See `ShiftedGrid`."""
    return ShiftedGrid(shift, start)(n, _ANY)


def beta(n: int, a: float = 0.6, b: float = 0.6, start: float = 1.0) -> Tensor:
    """See `BetaGrid`."""
    return BetaGrid(a, b, start)(n, _ANY)


def angular(
    n: int, schedule: Schedule, start: float = 1.0, clean: float = 1.75, noisy: float = 1.35
) -> Tensor:
    """See `AngularGrid`."""
    return AngularGrid(start, clean, noisy)(n, schedule)


def cosine(n: int, schedule: Schedule, start: float = 1.0) -> Tensor:
    """See `CosineGrid`."""
    return CosineGrid(start)(n, schedule)


def smooth(n: int, schedule: Schedule, start: float = 1.0) -> Tensor:
    """See `SmoothGrid`."""
    return SmoothGrid(start)(n, schedule)


def log_snr(
    n: int, schedule: Schedule, low: float = -10.0, high: float = 10.0, start: float = 1.0
) -> Tensor:
    """See `LogSNRGrid`."""
    return LogSNRGrid(low, high, start)(n, schedule)


def exponential(
    n: int,
    schedule: Schedule,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    start: float = 1.0,
) -> Tensor:
    """See `ExponentialGrid`."""
    return ExponentialGrid(sigma_min, sigma_max, start)(n, schedule)


def karras(
    n: int,
    schedule: Schedule,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    start: float = 1.0,
) -> Tensor:
    """See `KarrasGrid`."""
    return KarrasGrid(sigma_min, sigma_max, rho, start)(n, schedule)


def trailing(n: int, steps: int = 1000) -> Tensor:
    """See `TrailingGrid`."""
    return TrailingGrid(steps)(n, _ANY)


def leading(n: int, steps: int = 1000, offset: int = 0) -> Tensor:
    """See `LeadingGrid`."""
    return LeadingGrid(steps, offset)(n, _ANY)


def linspace(n: int, steps: int = 1000) -> Tensor:
    """See `LinspaceGrid`."""
    return LinspaceGrid(steps)(n, _ANY)
