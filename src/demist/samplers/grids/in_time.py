"""Grids that are chosen in t itself, whatever the schedule."""

from dataclasses import dataclass

import torch
from torch import Tensor

from demist.core import Schedule
from demist.errors import MissingError
from demist.samplers.grids.grid import Grid, between, count


@dataclass(frozen=True)
class UniformGrid(Grid):
    """Evenly spaced in t.

    Attributes:
        start: Time of the first level.
    """

    name = "uniform"
    start: float = 1.0

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        return torch.linspace(self.start, 0, count(n) + 1, dtype=torch.float64)


@dataclass(frozen=True)
class ShiftedGrid(Grid):
    """Uniform in t, then moved towards noise: t = shift u / (1 + (shift - 1) u).

    References:
        Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image
        Synthesis", arXiv:2403.03206, eq. 23.

    Attributes:
        shift: Above 1, steps are shorter near pure noise.
        start: Time of the first level.
    """

    name = "shifted"
    shift: float = 3.0
    start: float = 1.0

    def __post_init__(self) -> None:
        if self.shift <= 0:
            raise ValueError(
                f"shift must be positive, got {self.shift:g}; 1 leaves the times where they are"
            )

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        u = torch.linspace(1, 0, count(n) + 1, dtype=torch.float64)
        return self.start * self.shift * u / (1 + (self.shift - 1) * u)


@dataclass(frozen=True)
class BetaGrid(Grid):
    """Quantiles of the Beta distribution in t: for a = b < 1, short steps at both ends.

    References:
        Lee et al. 2024, "Beta Sampling is All You Need", arXiv:2407.12173, section 4.

    Attributes:
        a: Shape of the distribution towards clean data, above 0.
        b: Shape towards noise, above 0.
        start: Time of the first level.

    Raises:
        ValueError: If `a` or `b` is not positive.
    """

    name = "beta"
    a: float = 0.6
    b: float = 0.6
    start: float = 1.0

    def __post_init__(self) -> None:
        if self.a <= 0 or self.b <= 0:
            raise ValueError(
                f"the shapes of a Beta distribution must be positive, got {self.a:g} and {self.b:g}"
            )

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        """See `Grid`.

        Raises:
            MissingError: Without scipy, which has the quantile function.
        """
        try:
            from scipy.special import betaincinv
        except ImportError:
            raise MissingError("the grid 'beta' needs scipy: pip install 'demist[eval]'") from None
        u = torch.linspace(1, 0, count(n) + 1, dtype=torch.float64)
        times = torch.from_numpy(betaincinv(self.a, self.b, u.numpy()))
        return between(self.start * times, self.start)
