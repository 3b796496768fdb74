r"""Is it new? Generated images too close to the training set are copies, not samples.

A model that repeats its training images wins every distance to the training set. Held-out images
tell what closeness is natural: let d(y) be the distance to the nearest training image, then

    ratio        = median d(generated) / median d(test)                    1 is natural
    closer       = P(d(generated) < d(test)), ties half                    1/2 is natural ([1])
    copies       = share with d_1 < d_2 / 3, the two nearest training images  ([2])
    authenticity = share not nearer to its nearest training image x
                   than x is to its own nearest training neighbour         ([3], section 3.3)

Training sets hold many images twice, and these are copied first [4]. So the second training image
and the neighbour of x are sought among those *distinct* from the nearest one: farther from it than
a twin is. Twins are the same image, perhaps saved anew: nearer than a fifteenth of what two random
images are apart, and than a third of what neighbours are in so many dimensions.

A blurred image is near everything: small `ratio` with few `copies` means blur, not memory.

References:
    [1] Meehan, Chaudhuri, Dasgupta. A Non-Parametric Test to Detect Data-Copying in Generative
        Models, 2020. https://arxiv.org/abs/2004.05675
    [2] Yoon et al. Diffusion Probabilistic Models Generalize when They Fail to Memorize, 2023.
        https://openreview.net/forum?id=shciCbSk9h
    [3] Alaa et al. How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and
        Auditing Generative Models, 2022. https://arxiv.org/abs/2102.08921
    [4] Carlini et al. Extracting Training Data from Diffusion Models, 2023.
        https://arxiv.org/abs/2301.13188
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float64

from demist.evaluation.extractors.features import (
    pixels,
    quotient,
    require_alike,
    require_numbers,
)
from demist.evaluation.metrics.distances import closest
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
    generated: np.ndarray,
    test: np.ndarray,
    train: np.ndarray,
) -> Memorisation:
    """Compare the generated-to-train distances with the test-to-train distances.

    Arguments:
        generated: vectors (pixels or features) of generated images, `(n, d)`.
        test: of held-out images, `(m, d)`.
        train: of the images the model was trained on, all of them, `(k, d)`.

    Raises:
        DataError: an empty set, fewer than two training images, or vectors of other lengths.
    """
    return Closeness.of(test, train).compare(generated)


@dataclass(frozen=True)
class Closeness:
    """What closeness to the training images is natural, found once for many comparisons.

    Arguments:
        train: vectors of the training images, as they came: bytes stay bytes.
        near: distance of each test vector to the nearest, in increasing order.
        copies: share of test vectors that look like copies.
        authenticity: that of the test vectors.
        twin: how near two training vectors are that count as one; see `twin_distance`.
    """

    train: np.ndarray
    near: Float64[np.ndarray, " m"]
    copies: float
    authenticity: float
    twin: float

    @staticmethod
    def of(test: np.ndarray, train: np.ndarray) -> "Closeness":
        """Measure the test vectors; raises as `memorisation`."""
        require_numbers(train, least=2)
        twin = twin_distance(train)
        near, copies, authenticity = _near(test, train, twin)
        return Closeness(train, np.sort(near), copies, authenticity, twin)

    def compare(self, generated: np.ndarray) -> Memorisation:
        """Measure generated vectors; raises as `memorisation`."""
        near, copies, authenticity = _near(generated, self.train, self.twin)
        return Memorisation(
            ratio=quotient(float(np.median(near)), float(np.median(self.near))),
            closer=closer(near, self.near),
            copies=copies,
            authenticity=authenticity,
            test_copies=self.copies,
            test_authenticity=self.authenticity,
        )


def closer(near: np.ndarray, natural: np.ndarray) -> float:
    """P(a distance of `near` < one of `natural`, which increase), ties half: 1/2 is natural."""
    below = np.searchsorted(natural, near, side="left")
    not_above = np.searchsorted(natural, near, side="right")
    return float(1 - (below + not_above).mean() / (2 * len(natural)))


def twin_distance(train: np.ndarray, pairs: int = 2000) -> float:
    """How near two training vectors are that are the same image.

    Random pairs have squared distances of mean m and variance v; of normal draws in D equal
    dimensions, v = 2 m² / D. That D is the effective number of dimensions, and neighbours among N
    are about N^(-1/D) times nearer than random pairs.
    """
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, len(train), (2, pairs))
    pair = zip(one[one != other], other[one != other], strict=True)
    apart = np.array([np.square(train[i].astype(np.float64) - train[j]).sum() for i, j in pair])
    mean, variance = float(apart.mean()), float(apart.var())
    if not mean:
        return 0.0
    dimensions = 2 * mean**2 / variance if variance else math.inf
    return math.sqrt(mean) * min(1 / 15, float(len(train) ** (-1 / dimensions)) / 3)


def _near(x: np.ndarray, train: np.ndarray, twin: float) -> tuple[np.ndarray, float, float]:
    """Distance to the nearest training vector; share of copies; authenticity."""
    require_numbers(x)
    require_alike(x, train)
    found = closest(x, train, twin)
    copies, authentic = found.first < found.second / 3, found.first >= found.spacing
    return found.first, float(copies.mean()), float(authentic.mean())


class TrainingImages(ImageMetric):
    """Closeness to training images, in pixels."""

    name: ClassVar[str] = "training-images"
    place: ClassVar[int] = 100
    needs: ClassVar[tuple[Need, ...]] = ("images",)
    rows: ClassVar[Mapping[str, Row]] = {
        "nearest_ratio": Row("nearest-neighbour ratio", "1", "below 1: copies, or blur"),
        "closer": Row("closer than test images", "0.5", "above 1/2: copies, or blur"),
        "copies": Row("copies of training images", "0", "three times nearer than to any other", 4),
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
