"""DPM-Solver, singlestep: exponential Runge-Kutta methods in half the log-SNR, on eps."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.numerics.flow import runge_kutta
from demist.samplers.numerics.polynomials import half_log_snr, phi, time_at_half
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class DPMSolver2(Solver):
    """Look at eps halfway in lambda, and use it for the whole step.

        u   = (alpha_m / alpha_t) x - sigma_m (e^(h/2) - 1) eps_t,     lambda_m = lambda_t + h/2
        x_s = (alpha_s / alpha_t) x - sigma_s (e^h - 1) eps_u,         h = lambda_s - lambda_t

    DPM-Solver-1 is DDIM. Everything is written as DDIM's step plus a term in eps_u - eps_t, so that
    nothing is divided by a small alpha.

    First step: from pure noise, where lambda is -inf, the midpoint rule in flow time. Last step:
    DDIM's, because lambda is infinite in clean data.

    Two evaluations per step, one in the last. Second order from few steps on; the data form
    (`DPMpp2S`) is more robust under strong guidance.

    References:
        Lu et al. 2022, "DPM-Solver", arXiv:2206.00927, algorithm 1 (r1 = 1/2).
    """

    name = "dpm-solver-2"
    grid = "angular"
    order = 2

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        ddim = alpha * p.x0 + sigma * p.eps
        if s == 0:
            return ddim, None
        if p.alpha == 0:
            return runge_kutta(model, x, p, s, 2), None
        now = half_log_snr(p.alpha, p.sigma)
        h = half_log_snr(alpha, sigma) - now
        m = time_at_half(model.schedule, now + h / 2)
        a, g = model.schedule(m)
        eps = model(a * p.x0 + g * p.eps, m).eps
        return ddim - (sigma * math.expm1(h)) * (eps - p.eps), None

    def evaluations(self, steps: int) -> int:
        """Two per step, one in the last."""
        return 2 * steps - 1


@dataclass(frozen=True)
class DPMSolver3(Solver):
    """Look at eps after one third and two thirds of the step in lambda.

        u1  = (alpha_1 / alpha_t) x - sigma_1 (e^(r1 h) - 1) eps_t
        D1  = eps_u1 - eps_t
        u2  = (alpha_2 / alpha_t) x - sigma_2 (e^(r2 h) - 1) eps_t - sigma_2 (r2 / r1) psi(r2 h) D1
        D2  = eps_u2 - eps_t
        x_s = (alpha_s / alpha_t) x - sigma_s (e^h - 1) eps_t - (sigma_s / r2) psi(h) D2

    with lambda_i = lambda_t + r_i h, r1 = 1/3, r2 = 2/3, psi(z) = (e^z - 1) / z - 1 = z phi_2(z).

    First step: from pure noise, where lambda is -inf, Heun's method of third order in flow time.
    Last step: DDIM's, because lambda is infinite in clean data.

    Three evaluations per step, one in the last. For accuracy at 30 evaluations and more.

    References:
        Lu et al. 2022, "DPM-Solver", arXiv:2206.00927, algorithm 2.
    """

    name = "dpm-solver-3"
    grid = "angular"
    order = 3

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        ddim = alpha * p.x0 + sigma * p.eps
        if s == 0:
            return ddim, None
        if p.alpha == 0:
            return runge_kutta(model, x, p, s, 3), None
        r1, r2 = 1 / 3, 2 / 3
        now = half_log_snr(p.alpha, p.sigma)
        h = half_log_snr(alpha, sigma) - now
        m1, m2 = (time_at_half(model.schedule, now + r * h) for r in (r1, r2))
        (a1, g1), (a2, g2) = model.schedule(m1), model.schedule(m2)
        d1 = model(a1 * p.x0 + g1 * p.eps, m1).eps - p.eps
        u2 = a2 * p.x0 + g2 * p.eps - (g2 * (r2 / r1 * psi(r2 * h))) * d1
        d2 = model(u2, m2).eps - p.eps
        return ddim - (sigma * (psi(h) / r2)) * d2, None

    def evaluations(self, steps: int) -> int:
        """Three per step, one in the last."""
        return 3 * steps - 2


def psi(z: float) -> float:
    """(e^z - 1) / z - 1, without cancellation for small `z`."""
    return z * phi(2, z)
