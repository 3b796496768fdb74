"""SDE-DPM-Solver++(2M): the reverse SDE to second order at one evaluation per step."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.numerics.multistep import NEAREST
from demist.samplers.numerics.polynomials import half_log_snr
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class SDEDPMpp2M(Solver):
    """Exponential integrator of the reverse SDE, with x0 extrapolated from the last two calls.

        x_s = (sigma_s / sigma_t) e^{-eta^2 h} x + alpha_s (1 - e^{-(1 + eta^2) h}) D
              + sigma_s sqrt(1 - e^{-2 eta^2 h}) z,
        D = x0_t + h / (2 h_last) (x0_t - x0_last),      h = lambda_s - lambda_t

    (Note sigma_s in the second line: with sigma_t, as it has been published and copied, the
    variance is wrong to first order.) The first step, a step that leaves pure noise (alpha = 0),
    and the last, onto clean data, have D = x0_t: for eta = 1 that is DDPM's step.

    One evaluation per step, weak order 2. For reproducing what others call "2M SDE"; `sde-adams` is
    the same idea in a variable that is finite at both ends.

    References:
        Lu et al. 2022, "DPM-Solver++", arXiv:2211.01095: SDE-DPM-Solver++(2M); Zhang & Chen 2023,
        arXiv:2204.13902, section 2 (the family of SDEs).

    Attributes:
        eta: Noise relative to the reverse SDE's, as for `ddim`: 1 is the reverse SDE, 0 the
            probability-flow ODE. (k-diffusion's eta is the square of this one.)
    """

    name = "sde-dpmpp-2m"
    grid = "angular"
    order = 2
    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"eta must be 0 (deterministic), 1 (reverse SDE) or so: {self.eta}")

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """True unless eta = 0."""
        return self.eta > 0

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[State, float]]:
        """See `Solver.step`; the memory is the last `(x0, lambda)`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        now = half_log_snr(p.alpha, p.sigma)
        h = half_log_snr(alpha, sigma) - now
        d = p.x0
        if memory is not None and h < math.inf and now - memory[1] >= h / NEAREST:
            last_x0, last = memory
            d = d + (h / (2 * (now - last))) * (d - last_x0)
        shrunk = math.exp(-h)  # a power of it, since 0 * inf has no limit
        share = -math.expm1(-(1 + self.eta**2) * h)
        x = (sigma / p.sigma * shrunk ** (self.eta**2)) * x + (alpha * share) * d
        if self.eta > 0 and s > 0:
            x = x + (sigma * math.sqrt(-math.expm1(-2 * self.eta**2 * h))) * noise(x)
        return x, (p.x0, now)
