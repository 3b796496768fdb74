"""How the network sees the time."""

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


class Clock(abc.ABC):
    """A function of the time and of the scales there; subclasses are frozen dataclasses."""

    name: ClassVar[str]
    """The name on the command line."""

    @abc.abstractmethod
    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """What the network sees at times `t` with scales `alpha` and `sigma`: of `t`'s shape."""


@dataclass(frozen=True)
class TimeClock(Clock):
    """The time itself, in [0, 1]."""

    name = "time"
    saved_as = "time_clock"

    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return t


@dataclass(frozen=True)
class AngleClock(Clock):
    """The angle atan2(sigma, alpha), from -1 for clean data to 1 for pure noise.

    Regular at both ends. Sampling begins in pure noise, which training hardly ever sees: there a
    network that sees the log-SNR, which is infinite, has to extrapolate far.
    """

    name = "angle"
    saved_as = "angle_clock"

    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return torch.atan2(sigma, alpha) * (4 / math.pi) - 1


@dataclass(frozen=True)
class LogSNRClock(Clock):
    """`-log_snr / 4`, which grows with the noise: log(sigma) / 2 where alpha = 1.

    Attributes:
        limit: The log-SNR is clamped to [-limit, limit], since it is infinite at both ends.
    """

    name = "log-snr"
    limit: float = 20.0

    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return ((sigma / alpha).log() / 2).clamp(-self.limit / 4, self.limit / 4)


@dataclass(frozen=True)
class IndexClock(Clock):
    """The 0-based, possibly fractional, index among `steps` discrete steps: never rounded.

    Attributes:
        steps: Number of steps.
    """

    name = "index"
    steps: int = 1000

    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return t * self.steps - 1


@dataclass(frozen=True)
class ScaledClock(Clock):
    """The time multiplied by a number: what published flow models see.

    Attributes:
        scale: What the network sees at t = 1.
    """

    name = "scaled"
    scale: float = 1000.0

    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return t * self.scale


@dataclass(frozen=True)
class FlowClock(Clock):
    """The noise's share `sigma / (alpha + sigma)` times a number, whatever the path's shift.

    On the straight path it is the shifted time, which flow models of diffusers see.

    Attributes:
        scale: What the network sees in pure noise.
    """

    name = "flow"
    scale: float = 1000.0

    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return sigma / (alpha + sigma) * self.scale
