"""DPM-Solver++(3M): third order at one evaluation per step."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, Prediction, State, combine
from demist.samplers.numerics.flow import runge_kutta
from demist.samplers.numerics.multistep import (
    STARTS,
    Levels,
    apart,
    check_options,
    heun_correction,
    starting_steps,
)
from demist.samplers.numerics.polynomials import exponential_moments, half_log_snr, lagrange
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class DPMpp3M(Solver):
    """Exponential integrator in lambda = log(alpha / sigma), with x0 from the last three calls.

        x_s = (sigma_s / sigma_t) x + alpha_s int_0^h e^(v - h) P(v) dv,     h = lambda_s - lambda_t

    P is the parabola through the last three x0. In Newton's form, with h_1, h_2 the last two steps
    in lambda, D_0 = (x0_t - x0_1) h / h_1, D_1 = (x0_1 - x0_2) h / h_2,
    D_2 = (D_0 - D_1) h / (h_1 + h_2) and D = D_0 + D_2 h_1 / h,

        x_s = ... + alpha_s (h phi_1 x0_t + h phi_2 D + 2 h phi_3 D_2)(-h).

    D_2 is *half* the second derivative: copies that have phi_3 for 2 phi_3 are of second order.

    Last step: DDIM's, because lambda is infinite in clean data. First steps: see `start`.

    One evaluation per step (three in the first with `start="runge-kutta"`). For smooth models and
    20 steps or more; with fewer, `DPMpp2M`, `UniPC` or `DEIS`.

    References:
        Lu et al. 2022, "DPM-Solver++", arXiv:2211.01095, section 4; Hochbruck & Ostermann
        2010, "Exponential integrators", section 2.5 (exponential Adams methods).

    Attributes:
        start: See `demist.samplers.numerics.multistep`.
    """

    name = "dpmpp-3m"
    start: str = "corrected"

    def __post_init__(self) -> None:
        check_options(3, 3, self.start)

    @property
    def order(self) -> int:  # type: ignore[override]
        """3, or what the start allows."""
        return min(3, STARTS[self.start])

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[Levels, Prediction | None]]:
        """See `Solver.step`; memory: the last x0 over lambda, and the start of an Euler step."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        levels, euler = memory or ((), None)
        if euler is not None:
            x = x + heun_correction(euler, p)
        now = half_log_snr(p.alpha, p.sigma)
        end = half_log_snr(alpha, sigma)
        levels = apart(((now, p.x0), *levels), end)[:3]
        if s == 0:
            return alpha * p.x0, (levels, None)
        if len(levels) <= starting_steps(3, self.start):
            return runge_kutta(model, x, p, s, 3), (levels, None)
        ratio = sigma / p.sigma
        known = [(lam, x0) for lam, x0 in levels if math.isfinite(lam)]
        if len(known) < 2:
            x = ratio * x + (alpha - p.alpha * ratio) * p.x0
            return x, (levels, p if self.start == "corrected" else None)
        h = end - now
        nodes = [(lam - now) / h for lam, _ in known]
        weights = lagrange(nodes, exponential_moments(-h, len(nodes)))
        return ratio * x + (alpha * h) * combine(weights, [x0 for _, x0 in known]), (levels, None)

    def evaluations(self, steps: int) -> int:
        """One per step, and two more in a Runge-Kutta step."""
        return steps + 2 * min(starting_steps(3, self.start), steps - 1)
