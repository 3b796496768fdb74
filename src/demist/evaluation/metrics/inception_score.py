r"""Inception Score: confident about each image, undecided over all of them.

.. math::
    \mathrm{IS} = \exp\, E_x\, \mathrm{KL}(p(y|x) \,\|\, p(y))             ([1], section 4)

It lies between 1 and the number of classes. It never looks at real images, so it sees neither a
missing mode within a class nor memorisation, and it is only as good as the classifier.

References:
    [1] Salimans et al. Improved Techniques for Training GANs, 2016.
        https://arxiv.org/abs/1606.03498
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from demist.errors import DataError
from demist.evaluation.extractors.features import as_matrix
from demist.evaluation.metrics.metric import Found, ImageMetric, Need, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference


def inception_score(probabilities: Float[np.ndarray, "n classes"]) -> float:
    """Inception Score of class probabilities p(y|x), one row per image.

    Published values are often the mean over ten parts of the images, which is smaller: the score
    grows with the number of images. Here it is taken over all of them.

    Raises:
        DataError: rows that are not probabilities.
    """
    p = as_matrix(probabilities, name="probabilities")
    if p.min() < 0 or np.abs(p.sum(1) - 1).max() > 1e-4:
        raise DataError(
            "Rows must be probabilities (not negative, sum 1); apply a softmax to logits first."
        )
    joint = entropy_terms(p).sum(1).mean()
    return float(np.exp(joint - entropy_terms(p.mean(0)).sum()))


def entropy_terms(p: np.ndarray) -> np.ndarray:
    """Terms p log p, with its limit 0 at p = 0."""
    return p * np.log(np.where(p > 0, p, 1))


class InceptionScore(ImageMetric):
    """Confident labels of many kinds."""

    name: ClassVar[str] = "inception-score"
    place: ClassVar[int] = 60
    needs: ClassVar[tuple[Need, ...]] = ("logits",)
    rows: ClassVar[Mapping[str, Row]] = {
        "inception_score": Row("Inception Score", "high", "confident labels of many kinds", 2),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        return {"inception_score": inception_score(found.part.probabilities)}
