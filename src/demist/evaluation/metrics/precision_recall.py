r"""Fidelity and variety told apart: precision, recall, density, coverage.

Each set is surrounded by balls reaching to the k-th neighbour within the set; radius r_k(x).

.. math::
    \mathrm{precision} &= \tfrac1M |\{j: ∃i\; |y_j - x_i| ≤ r_k(x_i)\}|    & ([1], eq. 1–3) \\
    \mathrm{recall}    &= \tfrac1N |\{i: ∃j\; |y_j - x_i| ≤ r_k(y_j)\}|    & ([1], eq. 1–3) \\
    \mathrm{density}   &= \tfrac1{kM} |\{(i, j): |y_j - x_i| ≤ r_k(x_i)\}| & ([2], eq. 3)  \\
    \mathrm{coverage}  &= \tfrac1N |\{i: ∃j\; |y_j - x_i| ≤ r_k(x_i)\}|    & ([2], eq. 4)

with real x_1..x_N and generated y_1..y_M. One outlier among the real images makes a large ball and
flatters precision; density counts balls instead and may exceed 1. Even two samples of one
distribution do not score 1: for N(0, I) in 1000 dimensions, N = M = 10,000 and k = 5, precision and
recall have mean 0.475. Density has mean 1, and coverage 1 - C(N-1, k) / C(N+M-1, k) = 0.969, in any
dimension. Single draws spread by 0.015, 0.011, 0.09 and 0.009 there, because few points lie in most
balls (measured: benchmarks/results/evaluation.md). Read all four beside their floor.

References:
    [1] Kynkäänniemi et al. Improved Precision and Recall Metric for Assessing Generative Models,
        2019. https://arxiv.org/abs/1904.06991
    [2] Naeem et al. Reliable Fidelity and Diversity Metrics for Generative Models, 2020.
        https://arxiv.org/abs/2002.09797
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Float64

from demist.evaluation.extractors.features import as_matrix, require_alike
from demist.evaluation.metrics.distances import (
    neighbour_radius,
    require_neighbour,
    squared_distances,
)
from demist.evaluation.metrics.metric import Found, ImageMetric, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference

TIE = 1 + 1e-9  # on a ball's surface counts as inside, whatever the rounding


@dataclass(frozen=True)
class PrecisionRecall:
    """The four shares; precision, recall and coverage lie in [0, 1], density in [0, N / k]."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    real: Float[np.ndarray, "n d"],
    generated: Float[np.ndarray, "m _"],
    k: int = 5,
    real_radius: Float64[np.ndarray, " n"] | None = None,
) -> PrecisionRecall:
    """All four metrics from one pass over the pairs.

    Arguments:
        real: features of real images.
        generated: features of generated images; as many, for numbers that compare.
        k: neighbour that sets the radius.
        real_radius: `neighbour_radius(real, k)`, where the caller has it already.

    Raises:
        DataError: a set of k or fewer samples, or two different feature lengths.
        UsageError: k is below 1.
    """
    require_neighbour(k)
    require_alike(real, generated)
    real = as_matrix(real, least=k + 1)
    generated = as_matrix(generated, least=k + 1)
    real_radius = neighbour_radius(real, k) if real_radius is None else real_radius
    real_ball = real_radius**2 * TIE
    generated_ball = neighbour_radius(generated, k) ** 2 * TIE
    precise, pairs = 0, 0
    covered = np.zeros(len(real), bool)
    recalled = np.zeros(len(real), bool)
    for start, block in squared_distances(generated, real):
        inside = block <= real_ball
        per_sample = np.count_nonzero(inside, axis=1)
        precise += int(np.count_nonzero(per_sample))
        pairs += int(per_sample.sum())
        covered |= inside.any(0)
        recalled |= (block <= generated_ball[start : start + len(block), None]).any(0)
    return PrecisionRecall(
        precision=precise / len(generated),
        recall=float(recalled.mean()),
        density=pairs / (k * len(generated)),
        coverage=float(covered.mean()),
    )


class Neighbours(ImageMetric):
    """Precision, recall, density and coverage among nearest neighbours."""

    name: ClassVar[str] = "neighbours"
    place: ClassVar[int] = 40
    rows: ClassVar[Mapping[str, Row]] = {
        "precision": Row("precision", "high", "generated images among the real: fidelity"),
        "recall": Row("recall", "high", "real images among the generated: variety"),
        "density": Row("density", "high", "fidelity, robust to outliers"),
        "coverage": Row("coverage", "high", "real images with a generated one nearby: variety"),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        return asdict(
            precision_recall(real.some.features, found.part.features, real.k, real.radius)
        )
