"""Schedules made of schedules."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from demist.core.schedule import Schedule


@dataclass(frozen=True)
class Shifted(Schedule):
    """`schedule` with its time warped so that sigma / alpha is `shift` times as large.

    Larger images need more noise to lose the same information. On `Linear` this is the timestep
    shift t -> shift t / (1 + (shift - 1) t) of Stable Diffusion 3.

    References:
        Hoogeboom et al. 2023, "simple diffusion", arXiv:2301.11093, section 3.1;
        Esser et al. 2024, arXiv:2403.03206, eq. 23.

    Raises:
        ValueError: If `shift` is not positive, or `schedule` does not end in pure noise (then the
            noisiest part of the shifted schedule would lie out of reach).
    """

    name = "shifted"
    schedule: Schedule
    shift: float

    def __post_init__(self) -> None:
        if not 0 < self.shift < math.inf:
            raise ValueError(f"shift must be a positive number, got {self.shift}")
        alpha, _ = self.schedule(torch.ones((), dtype=torch.float64))
        if alpha != 0:
            raise ValueError(
                f"Shifted needs a schedule that ends in pure noise, but alpha(1) is "
                f"{float(alpha):.3g} here; wrap it in ZeroTerminal first, or change its own "
                f"parameters"
            )

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.schedule(self._warp(t))

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        # Chain rule through the angle a of the inner schedule: tan(warped) = shift tan(a).
        (alpha, sigma), warped = self.schedule(t), self._warp(t)
        stretch = self.shift * (alpha**2 + sigma**2) / (alpha**2 + (self.shift * sigma) ** 2)
        d_alpha, d_sigma = self.schedule.rates(warped)
        speed = stretch * _angular(self.schedule, t) / _angular(self.schedule, warped)
        return d_alpha * speed, d_sigma * speed

    def time_at_angle(self, angle: Tensor) -> Tensor:
        return self.schedule.time_at_angle(torch.atan2(angle.sin(), self.shift * angle.cos()))

    def _warp(self, t: Tensor) -> Tensor:
        alpha, sigma = self.schedule(t)
        warped = self.schedule.time_at_angle(torch.atan2(self.shift * sigma, alpha))
        return torch.where(alpha > 0, warped, 1.0).to(t)  # the end stays exact


@dataclass(frozen=True)
class ZeroTerminal(Schedule):
    """`schedule` with alpha shifted and scaled to end at exactly 0, and sigma^2 = 1 - alpha^2.

    The continuous counterpart of `rescale_to_zero_terminal`, which keeps a table's first knot
    where this keeps t = 0.

    References:
        Lin et al. 2023, arXiv:2305.08891, algorithm 1.

    Raises:
        ValueError: If `schedule` does not preserve variance (alpha^2 + sigma^2 = 1).
    """

    name = "zero-terminal"
    schedule: Schedule

    def __post_init__(self) -> None:
        alpha, sigma = self.schedule(torch.tensor(0.5, dtype=torch.float64))
        if abs(alpha**2 + sigma**2 - 1) > 1e-6:
            raise ValueError(
                f"ZeroTerminal needs a variance-preserving schedule, but alpha^2 + sigma^2 is "
                f"{float(alpha**2 + sigma**2):.3g} at t = 0.5; Linear and Cosine end in pure noise "
                f"as they are"
            )

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.schedule(t)
        last, _ = self.schedule(torch.ones_like(t))
        # 1 - alpha as sigma^2 / (1 + alpha): no cancellation near t = 0.
        lost = sigma**2 / (1 + alpha) / (1 - last)
        end = alpha <= last
        return (
            torch.where(end, 0.0, 1 - lost).to(t),
            torch.where(end, 1.0, torch.sqrt(lost * (2 - lost))).to(t),
        )

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        d_alpha, _ = self.schedule.rates(t)
        last, _ = self.schedule(torch.ones_like(t))
        alpha, sigma = self(t)
        d_alpha = d_alpha / (1 - last)
        return d_alpha, -alpha / sigma * d_alpha

    def time_at_angle(self, angle: Tensor) -> Tensor:
        last, _ = self.schedule(torch.ones_like(angle))
        lost = 2 * torch.sin(angle / 2) ** 2 * (1 - last)
        return self.schedule.time_at_angle(2 * torch.asin((lost / 2).sqrt()))


def _angular(schedule: Schedule, t: Tensor) -> Tensor:
    """Angular velocity of the path, in radians per unit of time."""
    alpha, sigma = schedule(t)
    d_alpha, d_sigma = schedule.rates(t)
    return (alpha * d_sigma - sigma * d_alpha) / (alpha**2 + sigma**2)
