"""Linear systems whose matrix is a covariance as a network has it: nearly, but not quite.

A covariance is symmetric and positive; the Jacobian of a network is so only nearly. Conjugate
gradients rely on it, and on such a matrix their residual may grow without end. Conjugate residuals
in their general form make it smaller with every iteration, whatever the matrix.
"""

import torch
from torch import Tensor

from demist.core import left
from demist.inverse.conjugate import Apply, inner, tolerance_of

SLACK = 1e-3
"""Share of the noise's curvature by which the covariance's may be below 0, for its rounding."""


def conjugate_residuals(
    covariance: Apply, noise: Tensor, y: Tensor, *, tolerance: float | None = None, most: int = 100
) -> Tensor:
    """`x` with `covariance(x) + noise * x = y`, by the least residual over the directions so far.

    A sample whose residual is below `tolerance` is left as it is, and so is one along whose
    residual the covariance is negative, which none is: further on only its faults would count.

    Args:
        covariance: A linear map, symmetric and positive, or nearly so.
        noise: At least 0; broadcasts with `y`.
        y: Right-hand sides, `(B, ...)`.
        tolerance: Of the residual's length, as a share of that of `y`; default: as near as the
            numbers of `y` allow.
        most: Iterations that are taken at most; each keeps two vectors like `y`.

    References:
        Eisenstat, Elman & Schultz 1983, "Variational Iterative Methods for Nonsymmetric Systems of
        Linear Equations", section 2 (GCR).
    """
    tolerance = tolerance_of(y) if tolerance is None else tolerance
    x, r = torch.zeros_like(y), y
    goal = tolerance**2 * inner(y, y)
    live = inner(r, r) > goal
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(most):
        if not live.any():
            break
        p, moved, own = r, covariance(r), noise * r
        live = live & (inner(r, moved) >= -SLACK * inner(r, own))
        q = moved + own
        for before, image, length in kept:
            c = left(inner(q, image) / length, y)
            p, q = p - c * before, q - c * image
        length = inner(q, q).clamp(min=torch.finfo(y.dtype).tiny)
        a = inner(r, q) / length
        live = live & (a > 0)
        a = left(torch.where(live, a, 0), y)
        x, r = x + a * p, r - a * q
        kept.append((p, q, length))
        live = live & (inner(r, r) > goal)
    return x
