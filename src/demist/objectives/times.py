"""Distributions of the training time, as quantile functions of a uniform number.

Stratification is a property of the uniform numbers, and statelessness of where they come from; so a
distribution maps `u` in (0, 1) to t and draws nothing itself.
"""

import abc
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from demist.core import Schedule
from demist.errors import UsageError

_LEAST = 1e-6
"""Probability of a range of times below which nothing is drawn from it."""


@dataclass(frozen=True)
class Times(abc.ABC):
    """A distribution of times; subclasses are frozen dataclasses of their options.

    Every distribution can be truncated: between `low` and `high` its density is what it was,
    divided by the probability of that range, and elsewhere it is 0. So an expert for a part of the
    noise learns, such as a refiner.

    References:
        Balaji et al. 2022, "eDiff-I", arXiv:2211.01324, section 4.1.

    Attributes:
        low: Smallest time.
        high: Largest time.

    Raises:
        ValueError: They are no range within [0, 1].
    """

    low: float = field(default=0.0, kw_only=True)
    high: float = field(default=1.0, kw_only=True)

    name: ClassVar[str]
    """The name on the command line."""

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(
                f"low={self.low:g}, high={self.high:g}: give a range of times within 0 (data) and "
                f"1 (noise), such as low=0,high=0.3"
            )

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        """The `u`-quantile: times in [`low`, `high`] of `u`'s shape, increasing with `u`.

        Raises:
            UsageError: The whole distribution has next to nothing in this range.
        """
        if (self.low, self.high) == (0, 1):
            return self.quantile(u, schedule)
        ends = torch.tensor([self.low, self.high], dtype=torch.float64, device=u.device)
        below, up_to = self.probability(ends, schedule)
        below = below if self.low > 0 else torch.zeros_like(below)
        up_to = up_to if self.high < 1 else torch.ones_like(up_to)  # some end in a lump at 1
        if up_to - below < _LEAST:
            raise UsageError(
                f"times {self.name}: less than {_LEAST:g} of this distribution lies between "
                f"low={self.low:g} and high={self.high:g}; widen the range, or move the mean"
            )
        t = self.quantile(below + (up_to - below) * u.double(), schedule)
        return t.clamp(self.low, self.high).to(u)

    @abc.abstractmethod
    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        """Of the whole distribution: times in [0, 1] of `u`'s shape, increasing with `u`."""

    @abc.abstractmethod
    def probability(self, t: Tensor, schedule: Schedule) -> Tensor:
        """Of a time of at most `t` in the whole distribution: the inverse of `quantile`."""


@dataclass(frozen=True)
class Uniform(Times):
    """Every time is equally likely."""

    name = "uniform"

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return u

    def probability(self, t: Tensor, schedule: Schedule) -> Tensor:
        return t


@dataclass(frozen=True)
class LogNormal(Times):
    """log(sigma / alpha) ~ N(mean, std^2) (Karras et al. 2022, table 1)."""

    name = "lognormal"
    mean: float = -1.2
    std: float = 1.2

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return schedule.time_at(-2 * (self.mean + self.std * torch.special.ndtri(u)))

    def probability(self, t: Tensor, schedule: Schedule) -> Tensor:
        p: Tensor = torch.special.ndtr((-schedule.log_snr(t) / 2 - self.mean) / self.std)
        return p


@dataclass(frozen=True)
class LogitNormal(Times):
    """logit(t) ~ N(mean, std^2) (Esser et al. 2024, arXiv:2403.03206, eq. 19)."""

    name = "logit-normal"
    mean: float = 0.0
    std: float = 1.0

    def quantile(self, u: Tensor, schedule: Schedule) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))

    def probability(self, t: Tensor, schedule: Schedule) -> Tensor:
        p: Tensor = torch.special.ndtr((torch.logit(t) - self.mean) / self.std)
        return p


def stratified(u: Tensor) -> Tensor:
    """Uniform numbers, one in each of B equal bins, from independent ones of shape `(B,)`.

    Each is still uniform given a random order of the batch; together they cover the distribution
    evenly, which lowers the variance of the loss (Kingma et al. 2021, appendix I.1).
    """
    bins = torch.arange(len(u), dtype=u.dtype, device=u.device)
    return (bins + u) / len(u)
