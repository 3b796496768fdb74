r"""Vendi score: how many different things there are in a set.

.. math::
    \mathrm{VS} = \exp\Big(-\sum_i λ_i \log λ_i\Big)                       ([1], definition 3.1)

where λ are the eigenvalues of K / n and K holds similarities with K_ii = 1; here cosines. It is
the effective number of dissimilar samples: n for orthogonal vectors, 1 for n copies. No reference
set is needed, and none protects it: noise is very diverse.

References:
    [1] Friedman, Dieng. The Vendi Score: A Diversity Evaluation Metric for Machine Learning, 2023.
        https://arxiv.org/abs/2210.02410
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from demist.errors import DataError
from demist.evaluation.extractors.features import as_matrix
from demist.evaluation.metrics.inception_score import entropy_terms
from demist.evaluation.metrics.metric import Found, ImageMetric, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference


def vendi_score(features: Float[np.ndarray, "n d"]) -> float:
    """Vendi score with cosine similarity.

    The spectrum comes from whichever of X Xᵀ (n, n) and Xᵀ X (d, d) is smaller.

    Raises:
        DataError: a zero vector, which has no direction.
    """
    x = as_matrix(features)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not length.all():
        raise DataError("A feature vector is zero, so it has no cosine with the others.")
    x = x / length
    gram = x.T @ x if len(x) > x.shape[1] else x @ x.T
    eigenvalues = np.linalg.eigvalsh(gram / len(x)).clip(0)
    return float(np.exp(-entropy_terms(eigenvalues).sum()))


class Vendi(ImageMetric):
    """Effective number of different images."""

    name: ClassVar[str] = "vendi"
    place: ClassVar[int] = 50
    rows: ClassVar[Mapping[str, Row]] = {
        "vendi": Row("Vendi score", "as real", "effective number of different images", 2),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        return {"vendi": vendi_score(found.part.features - real.moments.mean)}
