"""Weights of a multistep method by Bayesian quadrature: what is known of x0, and a prior over it.

Along the probability-flow ODE, with u = alpha / sigma from noise (0) to data (infinity),

    d(x / sigma) / du = x0(u),

so a step is an integral of the prediction x0. The prior says which functions of u it may be:

- Were the data a Gaussian with standard deviations c along its axes and the noise a_c along them,
  x / sigma would be sum_c a_c sqrt(1 + c^2 u^2) and x0 its derivative. The scales c reach from
  a sixtieth of that of the data to twice it, and the variance of a_c falls as c^2 (`SCALES`).
- The mean of the data is added, the same at all u.
- A network has errors. It answers a mixture of x0 and noise, so that in x0 they are as
  tau = sigma / (alpha + sigma), times something smooth: a polynomial in tau whose coefficients
  have the standard deviation `error`.

What is known of a sample, its state and the predictions so far, is linear in all of these. So the
integral is estimated by its mean given what is known, which is linear in it again, with weights
that depend on the levels alone.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SCALES = np.geomspace(1 / 60, 2.0, 60)
"""Standard deviations c along the axes of the data, whose own is of the order of 1."""

DEGREE = 3
"""Highest power of tau in the error of a network."""

ROUNDING = 1e-14
"""Share of the largest singular value below which knowledge counts as told already."""


@lru_cache(maxsize=4096)
def quadrature_weights(
    taus: tuple[float, ...], end: float, error: float
) -> tuple[float, tuple[float, ...]]:
    """Weights `(a, b)` such that `x / sigma` grows by `a x / sigma + sum_j b_j x0_j`.

    Args:
        taus: Flow times tau = sigma / (alpha + sigma), in [0, 1], at which x0 is known, the first
            of them that of the state. At 0, where u is infinite, weights are NaN.
        end: Flow time to go to, in (0, 1).
        error: Standard deviation of a network's error, see above; at least 0.
    """
    if min(taus) == 0:
        return math.nan, (math.nan,) * len(taus)
    nodes = np.array(taus)
    prior = np.concatenate(
        [SCALES**2 / (SCALES**2).sum(), [1.0], np.full(DEGREE, max(error, 1e-9) ** 2)]
    )
    known = np.vstack([_integral(nodes[:1]), _slope(nodes)]) * np.sqrt(prior)
    wanted = (_integral(np.array([end])) - _integral(nodes[:1]))[0] * np.sqrt(prior)
    unit = 1 / np.linalg.norm(known, axis=1)
    # The conditional mean, as the least squares that it is: its covariances would be singular in
    # float64 where steps are short.
    a, *b = unit * np.linalg.lstsq((known * unit[:, None]).T, wanted, rcond=ROUNDING)[0]
    return float(a), tuple(map(float, b))


def _slope(tau: Array) -> Array:
    """What each part of the prior adds to x0: a row for each tau."""
    tau = tau[:, None]
    u = (1 - tau) / tau
    gaussian = SCALES**2 * u / np.sqrt(1 + (SCALES * u) ** 2)
    return np.hstack([gaussian, np.ones_like(tau), tau ** np.arange(1, DEGREE + 1)])


def _integral(tau: Array) -> Array:
    """What each part adds to x / sigma, the integral of its slope over u, but for a constant."""
    tau = tau[:, None]
    u = (1 - tau) / tau
    powers = np.arange(1, DEGREE)
    return np.hstack([np.sqrt(1 + (SCALES * u) ** 2), u, -np.log(tau), (1 - tau**powers) / powers])
