r"""Noise schedules: how much signal and how much noise there is at time t.

Every schedule is a path `(alpha(t), sigma(t))` of the corruption

    x_t = alpha(t) x0 + sigma(t) eps,        eps ~ N(0, I),

with t in [0, 1], t = 0 data and t = 1 noise. All else follows from the path: the log-SNR
`log(alpha^2 / sigma^2)`, and the drift `f = alpha' / alpha` and squared diffusion
`g^2 = 2 sigma sigma' - 2 f sigma^2` of the SDE with the same marginals (Kingma et al. 2021,
"Variational Diffusion Models", arXiv:2107.00630, section 2).

The *angle* `atan2(sigma, alpha)` runs from 0 (data) to pi/2 (noise) and stays finite where the
log-SNR does not: tables are interpolated in it, schedules are inverted through it, grids are
spaced in it.

To write a schedule, implement `__call__`; `rates` and `time_at_angle` have defaults that cannot
disagree with it. Times are float64 tensors of any shape.
"""

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


class Schedule(abc.ABC):
    """A path from data to noise; `angle` must not decrease with t."""

    name: ClassVar[str]
    """The name on the command line."""

    @abc.abstractmethod
    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Signal and noise scales `(alpha, sigma)` at times `t` in [0, 1], both of `t`'s shape."""

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Time derivatives `(alpha', sigma')`, by forward-mode differentiation of the path."""
        found: tuple[Tensor, Tensor] = torch.func.jvp(self.__call__, (t,), (torch.ones_like(t),))[1]
        return found

    def angle(self, t: Tensor) -> Tensor:
        """`atan2(sigma, alpha)`, in radians: 0 is data, pi/2 is noise."""
        alpha, sigma = self(t)
        return torch.atan2(sigma, alpha)

    def time_at_angle(self, angle: Tensor) -> Tensor:
        """Inverse of `angle`, by bisection; angles out of reach give the nearest end."""
        low, high = torch.zeros_like(angle), torch.ones_like(angle)
        for _ in range(64):
            middle = (low + high) / 2
            below = self.angle(middle) < angle
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def log_snr(self, t: Tensor) -> Tensor:
        """`log(alpha^2 / sigma^2)`, natural logarithm; +inf at t = 0."""
        alpha, sigma = self(t)
        return 2 * (alpha / sigma).log()

    def time_at(self, log_snr: Tensor) -> Tensor:
        """Inverse of `log_snr`; values out of reach give the nearest end."""
        return self.time_at_angle(torch.atan(torch.exp(-log_snr / 2)))


@dataclass(frozen=True)
class Linear(Schedule):
    """The straight path of rectified flow and flow matching: alpha = 1 - t, sigma = t.

    References:
        Liu et al. 2022, "Flow Straight and Fast", arXiv:2209.03003;
        Lipman et al. 2022, "Flow Matching for Generative Modeling", arXiv:2210.02747.
    """

    name = "linear"

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(t), torch.ones_like(t)

    def time_at_angle(self, angle: Tensor) -> Tensor:
        return angle.sin() / (angle.sin() + angle.cos())


@dataclass(frozen=True)
class VE(Schedule):
    """Variance exploding, as in EDM: alpha = 1, and sigma is proportional to time.

    References:
        Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models",
        arXiv:2206.00364, table 1.
    """

    name = "ve"
    sigma_max: float = 80.0

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), self.sigma_max * t

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(t), torch.full_like(t, self.sigma_max)

    def time_at_angle(self, angle: Tensor) -> Tensor:
        return (angle.tan() / self.sigma_max).clamp(0, 1)


@dataclass(frozen=True)
class VP(Schedule):
    """Variance preserving with linear beta(t): alpha = exp(-1/2 int beta), alpha^2 + sigma^2 = 1.

    References:
        Song et al. 2021, "Score-Based Generative Modeling through SDEs", arXiv:2011.13456, eq. 33.
    """

    name = "vp"
    beta_min: float = 0.1
    beta_max: float = 20.0

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        integral = self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2
        return torch.exp(-integral / 2), torch.sqrt(-torch.expm1(-integral))

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self(t)
        half_beta = (self.beta_min + (self.beta_max - self.beta_min) * t) / 2
        return -half_beta * alpha, half_beta * alpha**2 / sigma

    def time_at_angle(self, angle: Tensor) -> Tensor:
        # The root of the quadratic in t that stays accurate near t = 0; int beta = -log cos^2.
        integral = -torch.log1p(-(angle.sin() ** 2)).clamp(min=-1e300)
        root = (self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral).sqrt()
        return (2 * integral / (self.beta_min + root)).clamp(0, 1)


@dataclass(frozen=True)
class Cosine(Schedule):
    """The angle itself is linear in time: alpha = cos(pi t / 2), sigma = sin(pi t / 2).

    References:
        Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models",
        arXiv:2102.09672, eq. 17 with s = 0. (`cosine_betas` gives the discrete one, s = 0.008.)
    """

    name = "cosine"

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        # sin(pi (1 - t) / 2) is cos(pi t / 2), but exactly zero at t = 1.
        return torch.sin(math.pi / 2 * (1 - t)), torch.sin(math.pi / 2 * t)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self(t)
        return -math.pi / 2 * sigma, math.pi / 2 * alpha

    def time_at_angle(self, angle: Tensor) -> Tensor:
        return (angle * 2 / math.pi).clamp(0, 1)


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """alpha^2 is a piece of a sigmoid between `start` and `end`, stretched to run from 1 to 0.

    References:
        Jabri et al. 2022, "Scalable Adaptive Computation for Iterative Generation",
        arXiv:2212.11972, algorithm 4; Chen 2023, arXiv:2301.10972.
    """

    name = "sigmoid"
    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        noise, total = self._fallen(t), self._fallen(torch.ones_like(t))
        return torch.sqrt((total - noise) / total), torch.sqrt(noise / total)

    def time_at_angle(self, angle: Tensor) -> Tensor:
        total = self._fallen(torch.ones_like(angle))
        level = 1 / (1 + math.exp(-self.start / self.tau)) + angle.sin() ** 2 * total
        return ((self.tau * torch.logit(level) - self.start) / (self.end - self.start)).clamp(0, 1)

    def _fallen(self, t: Tensor) -> Tensor:
        """How far the sigmoid has moved since t = 0, without cancellation near t = 0."""
        a = self.start / (2 * self.tau)
        step = (self.end - self.start) / (2 * self.tau) * t
        return torch.tanh(step) * (1 - math.tanh(a) * torch.tanh(a + step)) / 2
