"""Scales that depend on the time."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Schedule


@dataclass(frozen=True)
class Interval:
    """Guidance between two times only; elsewhere 1, which also spares the second evaluation.

    High noise wants little guidance, for there it throws away variety; low noise hardly feels it.

    References:
        Kynkäänniemi et al. 2024, "Applying Guidance in a Limited Interval Improves Sample and
        Distribution Quality in Diffusion Models", arXiv:2404.07724. Their interval of sigma is the
        one between the times `schedule.time_at(-2 log sigma)`.

    Attributes:
        scale: Scale inside: a number, or itself a function of the time.
        low: The cleaner end, a time in [0, 1].
        high: The noisier end; both belong to the interval.
    """

    scale: Any
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(
                f"a guidance interval from {self.low:g} to {self.high:g} is none: times run from "
                f"0 (data) to 1 (noise), the lower first, such as 0.1 to 0.8"
            )

    def __call__(self, t: Tensor) -> Any:
        inside = (self.low <= t) & (t <= self.high)
        if t.ndim == 0 and not inside:
            return 1.0
        w = self.scale(t) if callable(self.scale) else self.scale
        return w if t.ndim == 0 else torch.where(inside, w, 1.0)


@dataclass(frozen=True, eq=False)
class PlusPlus:
    """CFG++ as a scale: with DDIM steps along `grid`, guidance that re-noises unguided.

    CFG++ steps to `alpha_s x0_guided + sigma_s eps_without`. Written out, that is a DDIM step of
    ordinary guidance with scale `strength / (1 - r)`, where r < 1 is the ratio of sigma / alpha
    after the step to that before. So the scale grows with the number of steps, and is largest where
    the grid is fine: CFG++ has no limit as an ODE, and 1 is not its "no guidance".

    References:
        Chung et al. 2024, "CFG++: Manifold-constrained Classifier Free Guidance for Diffusion
        Models", arXiv:2406.08070, algorithm 2.

    Attributes:
        strength: Their lambda, usually 0.2 to 1; 0 ignores the condition.
        schedule: Of the model.
        grid: The decreasing times of the sampling run.
    """

    strength: float
    schedule: Schedule
    grid: Tensor

    def __post_init__(self) -> None:
        if not (self.grid.diff() < 0).all():
            raise ValueError("CFG++ is defined on grids that only go down; this one goes up")

    def __call__(self, t: Tensor) -> float:
        later = self.grid[self.grid < t]
        if not len(later):
            return self.strength
        (alpha, sigma), (alpha_s, sigma_s) = self.schedule(t), self.schedule(later[0])
        return self.strength * float(sigma * alpha_s / (sigma * alpha_s - sigma_s * alpha))
