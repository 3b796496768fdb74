"""Grids that are chosen in the angle atan2(sigma, alpha), from `start` down to clean data.

Their noise levels are the same for every schedule that begins in pure noise.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from demist.core import Schedule
from demist.samplers.grids.grid import Grid, at_angles, count


@dataclass(frozen=True)
class AngularGrid(Grid):
    """Steps in the angle atan2(sigma, alpha), shorter towards both ends.

    angle = top (1 - (1 - u)^noisy)^clean with u evenly spaced from 1 to 0. `clean = noisy = 1`
    gives even steps; larger powers shorten the steps towards clean data and towards pure noise. The
    defaults were among the best of fifteen pairs for `adams` at 10 to 40 steps on five mixtures of
    2 to 64 dimensions; `noisy` was then raised from 1.25 so that order 4 survives the first steps.

    Then every level r = sigma / alpha becomes shift r, or where the grid starts at a level R,
    shift r / (1 + (shift - 1) r / R), which leaves both ends where they are: the more numbers a
    state has, the more noise it takes to hide what it shows.

    Attributes:
        start: Time of the first level.
        clean: Power at the clean end.
        noisy: Power at the noisy end.
        shift: By what noise levels are multiplied, above 0.

    References:
        Esser et al. 2024, arXiv:2403.03206, eq. 23 (the shift).
    """

    name = "angular"
    start: float = 1.0
    clean: float = 1.75
    noisy: float = 1.35
    shift: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.shift < math.inf:
            raise ValueError(f"shift = {self.shift:g}: noise levels are multiplied by more than 0")

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        u = torch.linspace(1, 0, count(n) + 1, dtype=torch.float64)
        fraction = (1 - (1 - u) ** self.noisy) ** self.clean
        if self.shift != 1:
            top = schedule.angle(torch.tensor(self.start, dtype=torch.float64))
            sin, cos = (top * fraction).sin(), (top * fraction).cos()
            past = cos + (self.shift - 1) * sin * top.cos() / top.sin()
            fraction = torch.atan2(self.shift * sin, past) / top
        return at_angles(fraction, schedule, self.start)


@dataclass(frozen=True)
class CosineGrid(Grid):
    """Even steps in the angle: uniform in t, were the schedule `Cosine`.

    Attributes:
        start: Time of the first level.
    """

    name = "cosine"
    start: float = 1.0

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        return AngularGrid(self.start, clean=1.0, noisy=1.0)(n, schedule)


@dataclass(frozen=True)
class SmoothGrid(Grid):
    """Like `angular`, with steps that shrink quadratically towards both ends alike.

    angle = top sin^2(pi u / 2). Multistep solvers that extrapolate in the log-SNR, which is
    infinite at both ends, keep their order on it from pure noise to clean data; where steps do not
    shrink they gain a factor log(n) in the error.

    Attributes:
        start: Time of the first level.
    """

    name = "smooth"
    start: float = 1.0

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        u = torch.linspace(1, 0, count(n) + 1, dtype=torch.float64)
        return at_angles(torch.sin(math.pi / 2 * u) ** 2, schedule, self.start)
