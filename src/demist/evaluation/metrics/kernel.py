r"""Kernel distance (KID): squared maximum mean discrepancy with a polynomial kernel.

.. math::
    k(x, y) = (x^⊤ y / d + 1)^3                                            ([1], eq. 4 ff.)

.. math::
    \mathrm{MMD}² = \frac{1}{m(m-1)} \sum_{i≠j} k(x_i, x_j)
                  + \frac{1}{n(n-1)} \sum_{i≠j} k(y_i, y_j)
                  - \frac{2}{mn} \sum_{i,j} k(x_i, y_j)                    ([2], eq. 3)

Unlike the Fréchet distance this is unbiased at any sample count and assumes no Gaussian. It can be
negative: for two samples of one distribution its mean is exactly zero.

References:
    [1] Bińkowski et al. Demystifying MMD GANs, 2018. https://arxiv.org/abs/1801.01401
    [2] Gretton et al. A Kernel Two-Sample Test, 2012. https://jmlr.org/papers/v13/gretton12a.html
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Float32, Float64

from demist.errors import DataError
from demist.evaluation.extractors.features import as_matrix, require_alike, take
from demist.evaluation.metrics.metric import Found, ImageMetric, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference

MOST = 10_000
"""Training images at most for the kernel distance, whose cost grows with the square."""

BLOCK = 512


def kernel_distance(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m _"],
    degree: int = 3,
    within_y: float | None = None,
) -> float:
    """Unbiased KID of two feature sets, over all pairs.

    Arguments:
        x: features.
        y: features.
        degree: of the polynomial kernel.
        within_y: `kernel_within(y, degree)`, where the caller has it already.

    Raises:
        DataError: a set of fewer than two samples, or two different feature lengths.
    """
    x, y = as_matrix(x, least=2), as_matrix(y, least=2)
    require_alike(x, y)
    within_y = kernel_within(y, degree) if within_y is None else within_y
    between = _sum(x, y, degree) / (len(x) * len(y))
    return kernel_within(x, degree) + within_y - 2 * between


def kernel_within(x: Float[np.ndarray, "n d"], degree: int = 3) -> float:
    """Mean kernel of the pairs of different members of one set; raises as `kernel_distance`."""
    x = as_matrix(x, least=2)
    return (_sum(x, x, degree) - _diagonal(x, degree)) / (len(x) * (len(x) - 1))


def kernel_distance_subsets(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    subsets: int = 100,
    size: int = 1000,
    degree: int = 3,
    seed: int = 0,
) -> Float64[np.ndarray, " {subsets}"]:
    """KID of random subsets, the published protocol; report mean and standard deviation.

    Raises:
        DataError: a set smaller than `size`.
    """
    if min(len(x), len(y)) < size:
        raise DataError(
            f"Subsets of {size} cannot be drawn from sets of {len(x)} and {len(y)}; "
            "make `size` smaller."
        )
    rng = np.random.default_rng(seed)
    pairs = ((take(x, size, rng), take(y, size, rng)) for _ in range(subsets))
    return np.array([kernel_distance(a, b, degree) for a, b in pairs])


def _sum(x: np.ndarray, y: np.ndarray, degree: int) -> float:
    blocks = (x[i : i + BLOCK] for i in range(0, len(x), BLOCK))
    return sum(float(_power(block @ y.T / x.shape[1] + 1, degree).sum()) for block in blocks)


def _diagonal(x: np.ndarray, degree: int) -> float:
    return float(_power(np.einsum("nd,nd->n", x, x) / x.shape[1] + 1, degree).sum())


def _power(base: np.ndarray, degree: int) -> np.ndarray:
    """Integer power by multiplication, many times faster than `**` on arrays."""
    result = base
    for _ in range(degree - 1):
        result = result * base
    return result


class Kernel(ImageMetric):
    """Kernel distance of features."""

    name: ClassVar[str] = "kernel"
    place: ClassVar[int] = 20
    rows: ClassVar[Mapping[str, Row]] = {
        "kid": Row("KID x 1000", "0", "three moments of the features, unbiased"),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        y = strided(real.train.features)
        return {"kid": 1000 * kernel_distance(found.part.features, y, within_y=real.kernel)}


def strided(features: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "m d"]:
    """Every so many-th row, which makes at most `MOST`."""
    return features[:: -(-len(features) // MOST)]
