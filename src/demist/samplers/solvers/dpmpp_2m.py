"""DPM-Solver++(2M): second order at one evaluation per step."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.numerics.multistep import NEAREST
from demist.samplers.numerics.polynomials import half_log_snr
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class DPMpp2M(Solver):
    """Exponential integrator in half the log-SNR, with x0 extrapolated from the last two calls.

        x_s = (sigma_s / sigma_t) x + (alpha_s - alpha_t sigma_s / sigma_t) D,
        D = x0_t + h / (2 h_last) (x0_t - x0_last),      h = lambda_s - lambda_t

    It is first order in the first step, where there is no past, and in the last step onto clean
    data, where h is infinite.

    One evaluation per step: the default for 10 to 50 steps.

    References:
        Lu et al. 2022, "DPM-Solver++", arXiv:2211.01095, algorithm 2.
    """

    name = "dpmpp-2m"
    order = 2

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[State, float]]:
        """See `Solver.step`; the memory is the last `(x0, lambda)`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        now = half_log_snr(p.alpha, p.sigma)
        ratio = float(sigma / p.sigma)
        gain = float(alpha) - float(p.alpha) * ratio
        h = half_log_snr(alpha, sigma) - now
        if memory is None or s == 0 or now - memory[1] < h / NEAREST:
            return combine((ratio, gain), (x, p.x0)), (p.x0, now)
        last_x0, last = memory
        k = h / (2 * (now - last))
        return combine((ratio, gain * (1 + k), -gain * k), (x, p.x0, last_x0)), (p.x0, now)
