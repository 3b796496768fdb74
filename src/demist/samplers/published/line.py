"""DDIM, Euler and their ancestral forms, and DDPM, as published."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.published.range import UNBOUNDED, Range
from demist.samplers.published.stride import TO_NEXT, Stride
from demist.samplers.solver import Solver
from demist.samplers.solvers.ddim import ancestral_variances

LEAST = 1e-20
"""The least variance of which the logarithm is taken."""


@dataclass(frozen=True)
class Line(Solver):
    """`DDIM`, with the published aims, and data that is clipped while the noise is not.

        x_s = alpha_s clip(x0) + sqrt(sigma_s^2 - eta^2 v) eps + eta sqrt(v) z

    So written it does not stay on a line where the data is clipped. A learned variance is not used.
    Euler's method in sigma / alpha, and in the time of a straight path, is this with eta = 0; its
    ancestral form has eta = 1.

    References:
        Song, Meng & Ermon 2020, arXiv:2010.02502, eqs. 12 and 16; Karras et al. 2022,
        arXiv:2206.00364, algorithm 1.

    Attributes:
        eta: 0 is deterministic, 1 ancestral.
        aim: Where steps lead.
        range: Of the data.
        whole: The last state is given in the scale of clean data, x / alpha, though it is noisy.
    """

    name = "published"
    order = 1
    eta: float = 0.0
    aim: Stride = TO_NEXT
    range: Range = UNBOUNDED
    whole: bool = False

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """True unless eta = 0."""
        return self.eta > 0

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(self.aim(t, s))
        small, _ = ancestral_variances((p.alpha, p.sigma), (alpha, sigma))
        kept = (sigma**2 - self.eta**2 * small).clamp(min=0).sqrt()
        x = alpha * self.range(p.x0) + kept * p.eps
        if self.eta:
            x = x + (self.eta * small.sqrt()) * noise(x)
        return ((1 / alpha) * x if self.whole and s == 0 else x), None


@dataclass(frozen=True)
class Posterior(Solver):
    """`DDPM`, which is noisy to the end: it stops only where a step begins at the cleanest level.

    References:
        Ho et al. 2020, arXiv:2006.11239, eq. 7; Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 15.

    Attributes:
        first: Time of the model's cleanest step, from which on no noise is added.
        variance: "small", "large" or "learned", as in `DDPM`.
    """

    name = "published"
    order = 1
    stochastic = True
    first: float = 0.0
    variance: str = "small"

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        small, large = ancestral_variances((p.alpha, p.sigma), (alpha, sigma))
        mean = alpha * p.x0 + (sigma**2 - small).clamp(min=0).sqrt() * p.eps
        if t < 1.5 * self.first:
            return mean, None
        log_small = small.clamp(min=LEAST).log()
        fixed: dict[str, Any] = {"small": 0.0, "large": 1.0}
        share: Any = fixed.get(self.variance, p.spread)
        return mean + torch.exp(0.5 * (log_small + share * (large.log() - log_small))) * noise(
            x
        ), None
