"""Distributions of the training time, as quantile functions of a uniform number.

Stratification is a property of the uniform numbers, and statelessness of where they come from; so a
distribution maps `u` in (0, 1) to t and draws nothing itself.
"""

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from demist.core import Schedule


class Times(abc.ABC):
    """A distribution of times; subclasses are frozen dataclasses of their options."""

    name: ClassVar[str]
    """The name on the command line."""

    @abc.abstractmethod
    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        """The `u`-quantile: times in [0, 1] of `u`'s shape, increasing with `u`."""


@dataclass(frozen=True)
class Uniform(Times):
    """Every time is equally likely."""

    name = "uniform"

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        return u


@dataclass(frozen=True)
class LogNormal(Times):
    """log(sigma / alpha) ~ N(mean, std^2) (Karras et al. 2022, table 1)."""

    name = "lognormal"
    mean: float = -1.2
    std: float = 1.2

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        return schedule.time_at(-2 * (self.mean + self.std * torch.special.ndtri(u)))


@dataclass(frozen=True)
class LogitNormal(Times):
    """logit(t) ~ N(mean, std^2) (Esser et al. 2024, arXiv:2403.03206, eq. 19)."""

    name = "logit-normal"
    mean: float = 0.0
    std: float = 1.0

    def __call__(self, u: Tensor, schedule: Schedule) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))


def stratified(u: Tensor) -> Tensor:
    """Uniform numbers, one in each of B equal bins, from independent ones of shape `(B,)`.

    Each is still uniform given a random order of the batch; together they cover the distribution
    evenly, which lowers the variance of the loss (Kingma et al. 2021, appendix I.1).
    """
    bins = torch.arange(len(u), dtype=u.dtype, device=u.device)
    return (bins + u) / len(u)
