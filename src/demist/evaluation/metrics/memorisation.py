r"""Is it new? Generated images too close to the training set are copies, not samples.

A model that repeats its training images wins every distance to the training set. Held-out images
tell what closeness is natural: let d(y) be the distance to the nearest training image, then

    ratio        = median d(generated) / median d(test)                    1 is natural
    closer       = P(d(generated) < d(test)), ties half                    1/2 is natural ([1])
    copies       = share with d_1 < d_2 / 3, the two nearest training images  ([2])
    authenticity = share not nearer to its nearest training image x
                   than x is to its own nearest training neighbour         ([3], section 3.3)

A blurred image is near everything: small `ratio` with few `copies` means blur, not memory.

References:
    [1] Meehan, Chaudhuri, Dasgupta. A Non-Parametric Test to Detect Data-Copying in Generative
        Models, 2020. https://arxiv.org/abs/2004.05675
    [2] Yoon et al. Diffusion Probabilistic Models Generalize when They Fail to Memorize, 2023.
        https://openreview.net/forum?id=shciCbSk9h
    [3] Alaa et al. How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and
        Auditing Generative Models, 2022. https://arxiv.org/abs/2102.08921
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Float64

from demist.evaluation.extractors.features import as_matrix, pixels
from demist.evaluation.metrics.distances import nearest
from demist.evaluation.metrics.metric import Found, ImageMetric, Need, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference


@dataclass(frozen=True)
class Memorisation:
    """The four numbers, and two of them for the test set: their natural values."""

    ratio: float
    closer: float
    copies: float
    authenticity: float
    test_copies: float
    test_authenticity: float


def memorisation(
    generated: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    train: Float[np.ndarray, "k d"],
) -> Memorisation:
    """Compare the generated-to-train distances with the test-to-train distances.

    Arguments:
        generated: vectors (pixels or features) of generated images.
        test: of held-out images.
        train: of the images the model was trained on, all of them.

    Raises:
        DataError: an empty set, or fewer than two training images.
    """
    return Closeness.of(test, train).compare(generated)


@dataclass(frozen=True)
class Closeness:
    """What closeness to the training images is natural, found once for many comparisons.

    Arguments:
        train: vectors of the training images.
        near: distance of each test vector to the nearest, in increasing order.
        copies: share of test vectors that look like copies.
        authenticity: that of the test vectors.
    """

    train: Float64[np.ndarray, "k d"]
    near: Float64[np.ndarray, " m"]
    copies: float
    authenticity: float

    @staticmethod
    def of(test: Float[np.ndarray, "m d"], train: Float[np.ndarray, "k d"]) -> "Closeness":
        """Measure the test vectors; raises as `memorisation`."""
        train = as_matrix(train, least=2)
        near, copies, authenticity = _near(as_matrix(test), train)
        return Closeness(train, np.sort(near), copies, authenticity)

    def compare(self, generated: Float[np.ndarray, "n d"]) -> Memorisation:
        """Measure generated vectors; raises as `memorisation`."""
        near, copies, authenticity = _near(as_matrix(generated), self.train)
        below = np.searchsorted(self.near, near, side="left")
        not_above = np.searchsorted(self.near, near, side="right")
        return Memorisation(
            ratio=_quotient(np.median(near), np.median(self.near)),
            closer=float(1 - (below + not_above).mean() / (2 * len(self.near))),
            copies=copies,
            authenticity=authenticity,
            test_copies=self.copies,
            test_authenticity=self.authenticity,
        )


def _near(x: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Distance to the nearest training vector; share of copies; authenticity."""
    distance, chosen = nearest(x, train, k=2)
    asked, place = np.unique(chosen[:, 0], return_inverse=True)
    spacing = _distance_to_others(train, asked)[place]
    first, second = distance.T
    return first, float((first < second / 3).mean()), float((first >= spacing).mean())


def _distance_to_others(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Distance of the chosen rows of `x` to the nearest other row; a twin is at distance 0."""
    distances, indices = nearest(x[rows], x, k=2)
    itself_first = indices[:, 0] == rows
    return np.where(itself_first, distances[:, 1], distances[:, 0])


def _quotient(a: np.floating, b: np.floating) -> float:
    """Ratio a / b; two medians of zero are alike."""
    return float(a / b) if b > 0 else (1.0 if a == 0 else float("inf"))


class TrainingImages(ImageMetric):
    """Closeness to training images, in pixels."""

    name: ClassVar[str] = "training-images"
    place: ClassVar[int] = 100
    needs: ClassVar[tuple[Need, ...]] = ("images",)
    rows: ClassVar[Mapping[str, Row]] = {
        "nearest_ratio": Row("nearest-neighbour ratio", "1", "below 1: copies, or blur"),
        "closer": Row("closer than test images", "0.5", "above 1/2: copies, or blur"),
        "copies": Row("copies of training images", "0", "three times nearer than to any second", 4),
        "authenticity": Row("authenticity", "as real", "low: training images with changes"),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        close = real.closeness.compare(pixels(found.part.images))
        return {
            "nearest_ratio": close.ratio,
            "closer": close.closer,
            "copies": close.copies,
            "authenticity": close.authenticity,
        }

    def floor(self, held_out: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`; what is natural was found with the reference."""
        known = {"copies": real.closeness.copies, "authenticity": real.closeness.authenticity}
        return {"nearest_ratio": 1.0, "closer": 0.5, **known}
