"""LMS: Adams-Bashforth on eps, in the noise-to-signal ratio."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, Prediction, State, combine
from demist.samplers.numerics.flow import runge_kutta
from demist.samplers.numerics.lagrange import integral_weights
from demist.samplers.numerics.multistep import (
    STARTS,
    Levels,
    apart,
    check_options,
    heun_correction,
    starting_steps,
)
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class LMS(Solver):
    """Linear multistep on dy / drho = eps, y = x / alpha, rho = sigma / alpha.

        x_s = (alpha_s / alpha_t) x + alpha_s int_t^s P(rho) drho

    P is the polynomial through the last `p` eps. In EDM's path (alpha = 1) rho is sigma and eps is
    dx / dsigma: this is the LMS sampler of k-diffusion, with its integrals in closed form. It is
    also DEIS's rhoAB.

    First steps: from pure noise, where rho is infinite, DDIM's; that level is never a node. Then
    see `start`. In the last step rho = 0 and the order holds.

    With p = 4 a grid that shrinks quadratically towards pure noise leaves a factor log(n) in the
    error: from alpha = 0 it measures 3.5 at 384 steps, from alpha > 0 3.8.

    One evaluation per step (three in the first `p` - 2 with `start="runge-kutta"`). `DEIS` in flow
    time is more accurate; this one is for reproducing samples.

    References:
        Karras et al. 2022, arXiv:2206.00364, eq. 1; Zhang & Chen 2022, arXiv:2204.13902,
        proposition 3 (dy/drho = eps); Hairer, Norsett & Wanner 1993, section III.5 (uneven steps).

    Attributes:
        p: Number of predictions used, 1 to 4.
        start: See `demist.samplers.numerics.multistep`. The order is `p` if the start allows it.
    """

    name = "lms"
    p: int = 3
    start: str = "corrected"

    def __post_init__(self) -> None:
        check_options(self.p, 4, self.start)

    @property
    def order(self) -> int:  # type: ignore[override]
        """`p`, or what the start allows."""
        return min(self.p, STARTS[self.start])

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[Levels, Prediction | None]]:
        """See `Solver.step`; memory: the last eps over rho, and the start of an Euler step."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        levels, euler = memory or ((), None)
        if euler is not None:
            x = x + heun_correction(euler, p)
        now = float(p.sigma / p.alpha)
        end = float(sigma / alpha)
        levels = apart(((now, p.eps), *levels), end)[: self.p]
        if s > 0 and len(levels) <= starting_steps(self.p, self.start):
            return runge_kutta(model, x, p, s, 3), (levels, None)
        known = [(rho, eps) for rho, eps in levels if math.isfinite(rho)]
        corrected = self.start == "corrected" and len(known) < 2 <= self.p
        euler = p if corrected else None
        if not known:
            return alpha * p.x0 + sigma * p.eps, (levels, euler)
        weights = integral_weights([rho for rho, _ in known], now, end)
        drift = alpha * combine(weights, [eps for _, eps in known])
        return (alpha / p.alpha) * x + drift, (levels, euler)

    def evaluations(self, steps: int) -> int:
        """One per step, and two more in a Runge-Kutta step."""
        return steps + 2 * min(starting_steps(self.p, self.start), steps - 1)
