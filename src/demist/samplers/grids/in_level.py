"""Grids that are chosen in the noise level, between two of them, then one step to clean data."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from demist.core import Schedule
from demist.samplers.grids.grid import Grid, count, ended


@dataclass(frozen=True)
class LogSNRGrid(Grid):
    """Evenly spaced in log-SNR between `low` and `high`, then one step to clean data.

    Attributes:
        low: Log-SNR of the noisiest level.
        high: Log-SNR of the cleanest level.
        start: Time that no level exceeds.
    """

    name = "log-snr"
    low: float = -10.0
    high: float = 10.0
    start: float = 1.0

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        levels = torch.linspace(self.low, self.high, count(n), dtype=torch.float64)
        return ended(schedule.time_at(levels), self.start)


@dataclass(frozen=True)
class ExponentialGrid(Grid):
    """Evenly spaced in log(sigma / alpha) between two levels, then one step to clean data.

    `log-snr` between other ends: those that `karras` has.

    Attributes:
        sigma_min: sigma / alpha of the cleanest level.
        sigma_max: sigma / alpha of the noisiest level.
        start: Time that no level exceeds.
    """

    name = "exponential"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    start: float = 1.0

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        low, high = -2 * math.log(self.sigma_max), -2 * math.log(self.sigma_min)
        return LogSNRGrid(low, high, self.start)(n, schedule)


@dataclass(frozen=True)
class KarrasGrid(Grid):
    """Evenly spaced in (sigma / alpha)^(1 / rho), then one step to clean data.

    Levels beyond the schedule's reach are cut off at its ends.

    References:
        Karras et al. 2022, arXiv:2206.00364, eq. 5.

    Attributes:
        sigma_min: sigma / alpha of the cleanest level.
        sigma_max: sigma / alpha of the noisiest level.
        rho: Larger values give shorter steps near clean data.
        start: Time that no level exceeds.
    """

    name = "karras"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    start: float = 1.0

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        ends = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        u = torch.linspace(*ends, count(n), dtype=torch.float64)
        return ended(schedule.time_at(-2 * u.pow(self.rho).log()), self.start)
