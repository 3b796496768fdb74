"""Data near a point that fit a measurement: the posterior whose prior is N(x, v I).

The noise is Gaussian. For linear operators in closed form, for all others by Langevin dynamics.
"""

import torch
from torch import Tensor

from demist.core import Noise, left
from demist.inverse.conjugate import inner
from demist.inverse.measurement import Measurement
from demist.inverse.operator import LinearOperator


def mean_near(operator: LinearOperator, y: Tensor, x: Tensor, ratio: Tensor) -> Tensor:
    """E[x0 | y] for x0 ~ N(x, v I) and y = A x0 + noise: x + A'(A A' + ratio I)^-1 (y - A x).

    Args:
        operator: A.
        y: Measurements, `(B, *out)`.
        x: Centres, `(B, *shape)`.
        ratio: Variance of the noise over v, a number or one per sample; 0 projects: A x0 = y.
    """
    error = y - operator.forward(x)
    if not ratio.any():
        return x + operator.pinv(error)
    return x + operator.adjoint(operator.solve(error, 1.0, ratio))


def draw_near(
    operator: LinearOperator, y: Tensor, x: Tensor, v: Tensor, variance: Tensor, noise: Noise
) -> Tensor:
    """A draw of x0 given y, for x0 ~ N(x, v I) and y = A x0 + noise.

    A draw of both, corrected by what the true y says: exact, and needs no covariance (Matheron's
    rule).

    Args:
        operator: A.
        y: Measurements, `(B, *out)`.
        x: Centres, `(B, *shape)`.
        v: Variance around them, above 0.
        variance: Of the measurement's noise.
        noise: Source of the draws.

    References:
        Hoffman & Ribak 1991, "Constrained Realizations of Gaussian Fields".
    """
    around = x + v.sqrt() * noise(x)
    if variance.any():
        y = y - variance.sqrt() * noise(y)
    return mean_near(operator, y, around, variance / v)


def put_back(m: Measurement, x: Tensor, alpha: Tensor, sigma: Tensor, noise: Noise) -> Tensor:
    """`x` with the measured part of `alpha x0 + sigma eps`, for a measurement without noise."""
    operator, there = m.linear, alpha * m.y
    if sigma > 0:
        there = there + sigma * operator.forward(noise(x))
    return x + operator.pinv(there - operator.forward(x))


def sample_near(measurement: Measurement, x: Tensor, v: Tensor, noise: Noise, steps: int) -> Tensor:
    """A draw of x0 given the measurement, for x0 ~ N(x, v I).

    Args:
        measurement: Of each sample.
        x: Centres, `(B, *shape)`.
        v: Variance around them, above 0.
        noise: Source of the draws.
        steps: Of Langevin dynamics, where the operator is not linear.
    """
    operator = measurement.operator
    if isinstance(operator, LinearOperator):
        variance = torch.tensor(measurement.std**2, dtype=torch.float64)
        return draw_near(operator, measurement.y, x, v, variance, noise)
    return _langevin(measurement, x, v, noise, steps)


STEP = 0.25
"""Langevin step, as a share of 1 / curvature: the variance comes out an eighth too large along the
direction of most curvature, and nearly right along others."""


def _langevin(measurement: Measurement, x: Tensor, v: Tensor, noise: Noise, steps: int) -> Tensor:
    """Unadjusted Langevin dynamics from the centre on, with a step for each sample."""
    with torch.inference_mode(False), torch.enable_grad():
        centre = x.clone()
        step = left(STEP / (1 / v + _curvature(measurement, centre, noise)), centre)
        at = centre
        for _ in range(steps):
            at = at.detach().requires_grad_()
            value = measurement.log_likelihood(at).sum()
            (pull,) = torch.autograd.grad(value, at)
            drift = pull - (at.detach() - centre) / v
            at = at.detach() + step * drift + (2 * step).sqrt() * noise(centre)
    return at.detach()


def _curvature(measurement: Measurement, x: Tensor, noise: Noise) -> Tensor:
    """Largest eigenvalue of J'J / std^2 of each sample, `(B,)`, by the power method.

    J is the Jacobian of the operator at `x`; a half is added for where the method stops short.
    """
    forward = measurement.operator.forward
    _, back = torch.func.vjp(forward, x)  # type: ignore[misc]
    direction, size = noise(x).clone(), x.new_zeros(len(x))
    for _ in range(8):
        direction = direction / left(inner(direction, direction).sqrt().clamp(min=1e-30), x)
        moved: Tensor = torch.func.jvp(forward, (x,), (direction,))[1]
        (direction,) = back(moved)
        size = inner(direction, direction).sqrt()
    return 1.5 * size.detach() / measurement.std**2
