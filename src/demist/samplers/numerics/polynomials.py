"""What methods that interpolate predictions share: one exact solution, polynomials under it.

Between two levels the probability-flow ODE has the exact solutions

    x_s = (sigma_s / sigma_t) x + sigma_s int x0 d(alpha / sigma)           (data form)
    x_s = (alpha_s / alpha_t) x + alpha_s int eps d(sigma / alpha)          (noise form)

(Lu et al. 2022, "DPM-Solver", arXiv:2206.00927, eq. 3.4; 2022, "DPM-Solver++", arXiv:2211.01095,
proposition 4.1). A method replaces x0 or eps by a polynomial in some variable, through the values
it knows. What is left are the integrals of Lagrange's polynomials: numbers, kept as Python floats,
which are exact in float64 and far cheaper than 0-dimensional tensors.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from demist.core import Schedule


def half_log_snr(alpha: Tensor, sigma: Tensor) -> float:
    """Half the log-SNR, lambda = log(alpha / sigma): -inf in pure noise, +inf in clean data."""
    return float((alpha / sigma).log())


def time_at_half(schedule: Schedule, half: float) -> Tensor:
    """The time where half the log-SNR is `half`, 0-dimensional float64."""
    return schedule.time_at(torch.tensor(2 * half, dtype=torch.float64))


def phi(k: int, z: float) -> float:
    """phi_k(z) = int_0^1 e^{(1 - u) z} u^{k - 1} / (k - 1)! du; phi_0(z) = e^z.

    Accurate for small `z`, where the closed form cancels, and 0 at z = -inf for k >= 1.

    References:
        Hochbruck & Ostermann 2010, "Exponential integrators", Acta Numerica 19, eqs. 2.10, 2.11.
    """
    if abs(z) < 1:
        term = total = 1 / math.factorial(k)
        for j in range(k + 1, k + 18):
            term *= z / j
            total += term
        return total
    value = math.exp(min(z, 700.0))
    for j in range(k):
        value = (value - 1 / math.factorial(j)) / z
    return value


def exponential_moments(z: float, count: int) -> list[float]:
    """Integrals of e^{(1 - u) z} u^k over [0, 1] for k = 0, ..., `count` - 1: k! phi_{k+1}(z)."""
    return [math.factorial(k) * phi(k + 1, z) for k in range(count)]


def lagrange(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Integrals of the Lagrange polynomials on `nodes`, given those of 1, u, u^2, ...

    The weights w_j for which sum_j w_j f(nodes_j) integrates every polynomial f of degree below
    `len(nodes)` exactly.
    """
    weights = []
    for j, node in enumerate(nodes):
        polynomial = [1.0]  # coefficients, lowest first
        for other in (*nodes[:j], *nodes[j + 1 :]):
            shifted = zip([0.0, *polynomial], [*polynomial, 0.0], strict=True)
            polynomial = [(low - other * high) / (node - other) for low, high in shifted]
        weights.append(sum(c * m for c, m in zip(polynomial, moments, strict=False)))
    return weights
