"""The one clock that every schedule shares, and one-step methods that run on it.

    tau = sigma / (alpha + sigma),   z = x / (alpha + sigma):       dz / dtau = eps - x0

In flow time every schedule is the straight path of flow matching, and the ODE is regular from pure
noise (tau = 1) to clean data (tau = 0), where the log-SNR is infinite. So it is the clock for the
step that leaves pure noise, and for the first steps of multistep methods, which have no past.
"""

import torch
from torch import Tensor

from demist.core import Model, Prediction, State, combine

# Explicit methods in which each stage uses the one before only: nodes and weights.
TABLEAUS = {
    2: ((1 / 2,), (0.0, 1.0)),  # the midpoint rule
    3: ((1 / 3, 2 / 3), (1 / 4, 0.0, 3 / 4)),  # Heun's method of third order
}


def flow_time(alpha: Tensor, sigma: Tensor) -> float:
    """tau: 0 at clean data, 1 in pure noise."""
    return float(sigma / (alpha + sigma))


def runge_kutta(model: Model, x: State, p: Prediction, s: Tensor, order: int) -> State:
    """One Runge-Kutta step in flow time, with `order` evaluations of which `p` is the first.

    Args:
        model: Any denoiser.
        x: State.
        p: The model's prediction there.
        s: Time to go to, above 0.
        order: 2 or 3.

    References:
        Hairer, Norsett & Wanner 1993, "Solving Ordinary Differential Equations I", section II.1.
    """
    nodes, weights = TABLEAUS[order]
    alpha, sigma = model.schedule(s)
    tau = flow_time(p.alpha, p.sigma)
    step = flow_time(alpha, sigma) - tau
    z = (1 / (p.alpha + p.sigma)) * x
    velocities = [p.eps - p.x0]
    for node in nodes:
        middle = torch.tensor(tau + node * step, dtype=torch.float64)
        m = model.schedule.time_at_angle(torch.atan2(middle, 1 - middle))
        a, g = model.schedule(m)
        q = model((a + g) * (z + (node * step) * velocities[-1]), m)
        velocities.append(q.eps - q.x0)
    return (alpha + sigma) * (z + step * combine(weights, velocities))
