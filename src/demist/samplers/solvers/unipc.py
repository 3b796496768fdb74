"""UniPC: a corrector of one order more, from the prediction the next step needs anyway."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.numerics.flow import runge_kutta
from demist.samplers.numerics.multistep import Levels, apart, starting_steps
from demist.samplers.numerics.polynomials import exponential_moments, half_log_snr, lagrange
from demist.samplers.solver import Solver

STARTS = {"lower": 3, "runge-kutta": 4}
"""The ways to begin, and the order that each allows."""


@dataclass(frozen=True)
class UniPC(Solver):
    """Predict x_s from the last `p` x0 (UniP); once x0 is known there, correct x_s with it (UniC).

        x_s = (sigma_s / sigma_t) x + alpha_s (1 - e^-h) x0_t + alpha_s sum_m w_m (x0_m - x0_t)

    h is the step in lambda = log(alpha / sigma). The w_m integrate the polynomial in lambda through
    x0_t and the x0_m exactly, except with a single m, where w = B(h) / (2 r), r = (lambda_m -
    lambda_t) / h, and `variant` names B: `bh1` B = h, `bh2` B = 1 - e^-h (more accurate for long
    steps). The corrector's x0_m include the one at s, at r = 1. The model is not asked again at the
    corrected state.

    First step: UniP-1 and UniC-1, the trapezoidal rule, of second order; from pure noise, where h
    is infinite, with `bh2`. With `start="runge-kutta"` Heun's method of third order in flow time
    instead, at two more evaluations, which keeps order 4 for `p = 3`. Last step: DDIM's, because
    lambda is infinite in clean data; nothing is left to correct there.

    One evaluation per step. For 5 to 20 steps; `p = 3` only for 40 and more.

    References:
        Zhao et al. 2023, "UniPC", arXiv:2302.04867, algorithms 1 and 2; theorem 3.1 (order
        p + 1).

    Attributes:
        p: Order of the predictor, 1 to 3. The order of the method is p + 1, if the start allows it.
        variant: `"bh1"` or `"bh2"`.
        start: `"lower"` (as published; allows order 3) or `"runge-kutta"`.
    """

    name = "unipc"
    grid = "angular"
    p: int = 2
    variant: str = "bh2"
    start: str = "lower"

    def __post_init__(self) -> None:
        if not 1 <= self.p <= 3:
            raise ValueError(f"the order p of the predictor must be between 1 and 3, got {self.p}")
        for value, known in ((self.variant, ("bh1", "bh2")), (self.start, STARTS)):
            if value not in known:
                raise ValueError(f"{value!r} is none of {', '.join(known)}")

    @property
    def order(self) -> int:  # type: ignore[override]
        """`p` + 1, or what the start allows."""
        return min(self.p + 1, STARTS[self.start])

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[Levels, State | None]]:
        """See `Solver.step`; memory: the last x0 over lambda, and the average that UniP took."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        past: tuple[Levels, State | None] = memory or ((), None)
        levels, predicted = past
        now = (half_log_snr(p.alpha, p.sigma), p.x0)
        if predicted is not None:  # as a difference, so that what `constrain` did is kept
            known = (levels[0], now, *levels[1:])
            x = x + p.alpha * (unipc_average(known, now[0], self.variant) - predicted)
        end = half_log_snr(alpha, sigma)
        levels = apart((now, *levels), end)[: self.p]
        if s == 0:
            return alpha * p.x0, (levels, None)
        if len(levels) <= starting_steps(self.p, self.start):
            return runge_kutta(model, x, p, s, 3), (levels, None)
        average = unipc_average(levels, end, self.variant)
        return (sigma / p.sigma) * x + alpha * average, (levels, average)

    def evaluations(self, steps: int) -> int:
        """One per step, and two more in a Runge-Kutta step."""
        return steps + 2 * min(starting_steps(self.p, self.start), steps - 1)


def unipc_average(levels: Levels, end: float, variant: str) -> State:
    """int_0^h e^(v - h) P(v) dv, P through `levels`, over the step from the first of them.

    Args:
        levels: Values at their points, the first at the beginning of the step.
        end: Point to which the step leads.
        variant: `"bh1"` or `"bh2"`: the weight where there is one value besides the first.
    """
    (begin, _), *others = levels
    h = end - begin
    known = [levels[0], *((lam, x0) for lam, x0 in others if math.isfinite(lam))]
    nodes = [0.0, *(1.0 if lam == end else (lam - begin) / h for lam, _ in known[1:])]
    total = -math.expm1(-h)
    if len(nodes) == 1:
        weights = [total]
    elif len(nodes) == 2:
        b = h if variant == "bh1" and h < math.inf else total
        weights = [total - b / (2 * nodes[1]), b / (2 * nodes[1])]
    else:
        weights = [h * w for w in lagrange(nodes, exponential_moments(-h, len(nodes)))]
    return combine(weights, [x0 for _, x0 in known])
