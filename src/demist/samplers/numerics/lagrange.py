"""Integrals of interpolating polynomials: the weights of linear multistep methods on any grid."""

from collections.abc import Sequence

_NODES = (-(0.6**0.5), 0.0, 0.6**0.5)
_WEIGHTS = (5 / 9, 8 / 9, 5 / 9)


def integral_weights(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """Weights w with `sum_j w_j f(nodes_j) = integral of f from start to end` for polynomials f.

    Exact for degrees below `len(nodes) <= 6`, by three-point Gauss-Legendre quadrature of the
    Lagrange polynomials.

    Args:
        nodes: Distinct points, at most 6.
        start: Lower end of the integral.
        end: Upper end; may be below `start`.
    """
    middle, half = (start + end) / 2, (end - start) / 2
    weights = []
    for j, own in enumerate(nodes):
        total = 0.0
        for u, w in zip(_NODES, _WEIGHTS, strict=True):
            basis = 1.0
            for k, other in enumerate(nodes):
                if k != j:
                    basis *= (middle + half * u - other) / (own - other)
            total += w * basis
        weights.append(half * total)
    return weights
