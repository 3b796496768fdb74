"""Linear systems known by what they do to a vector: conjugate gradients, sample by sample.

Every sample has its own step lengths and stops by its own residual, so none depends on the others
in its batch. The iterations end at a residual and not at a count.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from demist.core import left

Apply = Callable[[Tensor], Tensor]
"""A linear map of states `(B, ...)`, row by row."""


def inner(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> of each sample, `(B,)`."""
    return (a * b).flatten(1).sum(1)


def tolerance_of(x: Tensor) -> float:
    """The relative residual at which rounding in `x`'s numbers ends the use of going on."""
    return 1e-12 if x.dtype == torch.float64 else 1e-6


def conjugate_gradients(
    apply: Apply,
    y: Tensor,
    *,
    tolerance: float | None = None,
    most: int = 1000,
    start: Tensor | None = None,
) -> Tensor:
    """`x` with `apply(x) = y`, for a symmetric positive semi-definite map.

    A sample whose residual is below `tolerance` is left as it is, and so is one that meets a
    direction of no or negative curvature, as a learned covariance can have: what it has by then is
    its best.

    Args:
        apply: The map.
        y: Right-hand sides, `(B, ...)`.
        tolerance: Of the residual's length, as a share of that of `y`; default: as near as the
            numbers of `y` allow.
        most: Iterations that are taken at most.
        start: A first guess, of the shape of `y`; default 0.

    References:
        Hestenes & Stiefel 1952, "Methods of Conjugate Gradients for Solving Linear Systems".
    """
    tolerance = tolerance_of(y) if tolerance is None else tolerance
    x, r = (torch.zeros_like(y), y) if start is None else (start, y - apply(start))
    p, rr = r, inner(r, r)
    goal = tolerance**2 * inner(y, y)
    live = rr > goal
    for _ in range(most):
        if not live.any():
            break
        q = apply(p)
        curvature = inner(p, q)
        live = live & (curvature > 0)
        a = torch.where(live, rr / torch.where(live, curvature, 1), 0)
        x, r = x + left(a, y) * p, r - left(a, y) * q
        new = inner(r, r)
        b = torch.where(live, new / torch.where(live, rr, 1), 0)
        p, rr = r + left(b, y) * p, torch.where(live, new, rr)
        live = live & (rr > goal)
    return x


def least_squares(
    forward: Apply, adjoint: Apply, y: Tensor, *, tolerance: float | None = None, most: int = 1000
) -> Tensor:
    """The shortest `x` among those with the least `|A x - y|`: `A^+ y`.

    Conjugate gradients on `A'A x = A'y` without forming the product, which keeps twice the digits.

    Args:
        forward: `x -> A x`.
        adjoint: `y -> A'y`.
        y: Right-hand sides, `(B, ...)`.
        tolerance: Of the length of `A'(y - A x)`, as a share of that of `A'y`.
        most: Iterations that are taken at most.

    References:
        Paige & Saunders 1982, "LSQR: An Algorithm for Sparse Linear Equations and Sparse Least
        Squares", section 7.1 (CGLS).
    """
    tolerance = tolerance_of(y) if tolerance is None else tolerance
    r, s = y, adjoint(y)
    x, p, ss = torch.zeros_like(s), s, inner(s, s)
    goal = tolerance**2 * ss
    live = ss > goal
    for _ in range(most):
        if not live.any():
            break
        q = forward(p)
        curvature = inner(q, q)
        live = live & (curvature > 0)
        a = torch.where(live, ss / torch.where(live, curvature, 1), 0)
        x, r = x + left(a, x) * p, r - left(a, y) * q
        s = adjoint(r)
        new = inner(s, s)
        b = torch.where(live, new / torch.where(live, ss, 1), 0)
        p, ss = s + left(b, x) * p, torch.where(live, new, ss)
        live = live & (ss > goal)
    return x
