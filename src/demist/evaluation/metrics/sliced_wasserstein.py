r"""Sliced Wasserstein distance: a metric for point clouds in few dimensions.

.. math::
    \mathrm{SW}_p^p = E_θ\, W_p^p(θ^⊤ x, θ^⊤ y),  θ uniform on the sphere  ([1], eq. 8)

On a line the optimal transport matches quantiles, so each projection costs a sort. No features and
no density are needed, and it sees the whole distribution, not two moments of it.

References:
    [1] Bonneel et al. Sliced and Radon Wasserstein Barycenters of Measures, 2015.
        https://hal.science/hal-00881872
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from demist.evaluation.extractors.features import as_matrix
from demist.evaluation.metrics.metric import PointMetric, Row

if TYPE_CHECKING:
    from demist.evaluation.metrics.points import HeldOut


def sliced_wasserstein(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    order: float = 2.0,
    projections: int = 256,
    seed: int = 0,
) -> float:
    """SW_p of two sets of points of any sizes, in the units of the points.

    Arguments:
        x: points.
        y: points.
        order: p >= 1.
        projections: random directions; one is exact for d = 1 and is all that is used there.
        seed: of the directions.
    """
    x, y = as_matrix(x, name="points"), as_matrix(y, name="points")
    dim = x.shape[1]
    directions = np.random.default_rng(seed).standard_normal((1 if dim == 1 else projections, dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    costs = [_line(np.sort(x @ u), np.sort(y @ u), order) for u in directions]
    return float(np.mean(costs) ** (1 / order))


def _line(a: np.ndarray, b: np.ndarray, order: float) -> float:
    """W_p^p of two sorted samples: the integral over the level of |quantile difference|^p."""
    if len(a) == len(b):
        return float((np.abs(a - b) ** order).mean())
    # Levels in integers of 1 / (n m), so that both step functions break at exact places.
    n, m = len(a), len(b)
    breaks = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    starts = np.concatenate([[0], breaks[:-1]])
    gap = np.abs(a[starts // m] - b[starts // n]) ** order
    return float(gap @ (breaks - starts)) / (n * m)


class SlicedWasserstein(PointMetric):
    """Distance of points to held-out points, over all directions."""

    name: ClassVar[str] = "sliced-wasserstein"
    place: ClassVar[int] = 10
    rows: ClassVar[Mapping[str, Row]] = {
        "sliced_wasserstein": Row(
            "sliced Wasserstein distance",
            "low",
            "the whole distribution, in the units of the data",
            4,
        ),
    }

    def __call__(self, points: np.ndarray, real: "HeldOut") -> Mapping[str, float]:
        """See `PointMetric`."""
        return {"sliced_wasserstein": sliced_wasserstein(points, real.test)}
