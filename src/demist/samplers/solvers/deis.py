"""DEIS: exponential Adams-Bashforth on eps, in flow time."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
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
from demist.samplers.numerics.polynomials import lagrange
from demist.samplers.solver import Solver

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
GAUSS = [((1 + u) / 2, w / 2) for u, w in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True)]
"""Nodes and weights of Gauss and Legendre's quadrature on [0, 1]."""


@dataclass(frozen=True)
class DEIS(Solver):
    """Exponential integrator with eps a polynomial in flow time, through the last `p` calls.

        x_s = (alpha_s / alpha_t) x + alpha_s int_t^s P(tau) d(sigma / alpha)

    The paper's tAB takes a polynomial in t, which on the straight path is this one. On other
    schedules t is only a name (eps has a corner at t = 0 in `VP`, and at every knot in a table),
    so here the variable is tau = sigma / (alpha + sigma), the t of the straight path, whatever the
    schedule. In it eps is smooth and the integrals are finite from pure noise to clean data: the
    order holds in the last step too. `p = 1` is DDIM.

    First step: from pure noise DDIM's, which is exact there but for O(alpha^2). Then see `start`.

    One evaluation per step (three in the first `p` - 2 with `start="runge-kutta"`). A very good
    choice for 5 to 50 steps, on `angular` grids too.

    References:
        Zhang & Chen 2022, "Fast Sampling of Diffusion Models with Exponential Integrator",
        arXiv:2204.13902, section 3, polynomial extrapolation (tAB-DEIS).

    Attributes:
        p: Number of predictions used, 1 to 4.
        start: See `demist.samplers.numerics.multistep`. The order is `p` if the start allows it.
    """

    name = "deis"
    grid = "angular:clean=1.75,noisy=1.5"
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
        """See `Solver.step`; memory: the last eps over 1 - tau, and the start of an Euler step."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        levels, euler = memory or ((), None)
        if euler is not None:
            x = x + heun_correction(euler, p)
        now = float(p.alpha / (p.alpha + p.sigma))
        end = float(alpha / (alpha + sigma))
        levels = apart(((now, p.eps), *levels), end)[: self.p]
        if s > 0 and len(levels) <= starting_steps(self.p, self.start):
            return runge_kutta(model, x, p, s, 3), (levels, None)
        corrected = self.start == "corrected" and len(levels) == 1 < self.p
        euler = p if corrected else None
        if p.alpha == 0:
            return alpha * p.x0 + sigma * p.eps, (levels, euler)
        nodes = [(c - now) / (end - now) for c, _ in levels]
        weights = lagrange(nodes, flow_moments(end / now, len(nodes)))
        drift = (-alpha / now) * combine(weights, [eps for _, eps in levels])
        return (alpha / p.alpha) * x + drift, (levels, euler)

    def evaluations(self, steps: int) -> int:
        """One per step, and two more in a Runge-Kutta step."""
        return steps + 2 * min(starting_steps(self.p, self.start), steps - 1)


def flow_moments(ratio: float, count: int) -> list[float]:
    """Integrals of u^k against -now d(sigma / alpha) over a step, u going from 0 to 1.

    With c = alpha / (alpha + sigma) = now (1 + u (ratio - 1)), sigma / alpha is 1 / c - 1, and with
    c = now e^v the integrand e^-v ((e^v - 1) / (ratio - 1))^k is entire: quadrature in v is exact
    to rounding for steps of any practical length, where the closed form cancels.

    Args:
        ratio: c at the end over c at the start of the step, above 1.
        count: Number of integrals, k = 0, ..., `count` - 1.
    """
    length = math.log(ratio)
    points = [(w * math.exp(-v * length), math.expm1(v * length) / (ratio - 1)) for v, w in GAUSS]
    return [length * sum(w * u**k for w, u in points) for k in range(count)]
