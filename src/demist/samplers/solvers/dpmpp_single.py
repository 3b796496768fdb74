"""DPM-Solver++, singlestep: exponential Runge-Kutta methods in half the log-SNR, on x0."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.numerics.flow import runge_kutta
from demist.samplers.numerics.polynomials import (
    exponential_moments,
    half_log_snr,
    lagrange,
    phi,
    time_at_half,
)
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class DPMpp2S(Solver):
    """Look at x0 halfway in lambda, and use it for the whole step.

        u   = (sigma_m / sigma_t) x - alpha_m (e^(-h/2) - 1) x0_t,     lambda_m = lambda_t + h/2
        x_s = (sigma_s / sigma_t) x - alpha_s (e^-h - 1) x0_u,         h = lambda_s - lambda_t

    First step: from pure noise, where lambda is -inf, the midpoint rule in flow time. Last step:
    DDIM's, because lambda is infinite in clean data.

    Two evaluations per step, one in the last. The multistep `DPMpp2M` is better at equal numbers of
    evaluations unless the model changes between steps (guidance intervals, time travel).

    References:
        Lu et al. 2022, "DPM-Solver++", arXiv:2211.01095, algorithm 1 (r = 1/2).
    """

    name = "dpmpp-2s"
    grid = "angular"
    order = 2

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        if s == 0:
            return alpha * p.x0, None
        if p.alpha == 0:
            return runge_kutta(model, x, p, s, 2), None
        now, end = half_log_snr(p.alpha, p.sigma), half_log_snr(alpha, sigma)
        m = time_at_half(model.schedule, (now + end) / 2)
        a, g = model.schedule(m)
        x0 = model(a * p.x0 + g * p.eps, m).x0
        ratio = sigma / p.sigma
        return ratio * x + (alpha - p.alpha * ratio) * x0, None

    def evaluations(self, steps: int) -> int:
        """Two per step, one in the last."""
        return 2 * steps - 1


@dataclass(frozen=True)
class DPMpp3S(Solver):
    """Look at x0 after one and two thirds of the step in lambda; integrate the parabola through it.

        u1  = alpha_1 x0_t + sigma_1 eps_t
        u2  = alpha_2 x0_t + sigma_2 eps_t + 2 alpha_2 (2h/3) phi_2(-2h/3) (x0_u1 - x0_t)
        x_s = (sigma_s / sigma_t) x + alpha_s int_0^h e^(v - h) P(v) dv

    with lambda_i = lambda_t + i h/3 and P the polynomial through x0_t, x0_u1 and x0_u2. The paper
    stops at second order; its authors' code has this step as the "taylor" type.

    First step: from pure noise, where lambda is -inf, Heun's method of third order in flow time.
    Last step: DDIM's, because lambda is infinite in clean data.

    Three evaluations per step, one in the last. For accuracy at 30 evaluations and more.

    References:
        Lu et al. 2022, "DPM-Solver++", arXiv:2211.01095, section 4; Hochbruck & Ostermann 2010,
        "Exponential integrators", section 2.3 (conditions for order 3).
    """

    name = "dpmpp-3s"
    grid = "angular"
    order = 3

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        if s == 0:
            return alpha * p.x0, None
        if p.alpha == 0:
            return runge_kutta(model, x, p, s, 3), None
        r1, r2 = 1 / 3, 2 / 3
        now = half_log_snr(p.alpha, p.sigma)
        h = half_log_snr(alpha, sigma) - now
        m1, m2 = (time_at_half(model.schedule, now + r * h) for r in (r1, r2))
        (a1, g1), (a2, g2) = model.schedule(m1), model.schedule(m2)
        d1 = model(a1 * p.x0 + g1 * p.eps, m1).x0 - p.x0
        stage = r2 / r1 * (r2 * h) * phi(2, -r2 * h)
        d2 = model(a2 * p.x0 + g2 * p.eps + (a2 * stage) * d1, m2).x0 - p.x0
        _, *weights = lagrange((0.0, r1, r2), exponential_moments(-h, 3))
        return alpha * p.x0 + sigma * p.eps + (alpha * h) * combine(weights, (d1, d2)), None

    def evaluations(self, steps: int) -> int:
        """Three per step, one in the last."""
        return 3 * steps - 2
