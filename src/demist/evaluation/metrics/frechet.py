r"""Fréchet distance between two sets of features, each seen as a Gaussian.

.. math::
    d² = |μ_1 - μ_2|² + \mathrm{tr}\,(Σ_1 + Σ_2 - 2 (Σ_1 Σ_2)^{1/2})        ([1], eq. 6; [2])

It is the squared 2-Wasserstein distance of the two Gaussians; with Inception features it is called
FID. Two things go wrong with it in practice, and both are dealt with here.

*The matrix root.* With Σ_i = F_i F_iᵀ, the trace of the root is the sum of the singular values of
F_1ᵀ F_2. That needs no root of a non-symmetric, often singular product, never turns complex, and
keeps full precision where covariances are rank deficient.

*The bias.* From N samples the distance is too large by about c/N, with a c that differs from model
to model, so values at different N do not compare [3]. `extrapolate` removes the first order.

`ratio` is FDr = d²(generated, train) / d²(test, train): it does not depend on the scale of the
features, and reads 1 where generated images are as far from the training set as held-out ones.

References:
    [1] Heusel et al. GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium, 2017. https://arxiv.org/abs/1706.08500
    [2] Dowson, Landau. The Fréchet distance between multivariate normal distributions, 1982.
    [3] Chong, Forsyth. Effectively Unbiased FID and Inception Score and where to find them, 2020.
        https://arxiv.org/abs/1911.07023
    [4] Chan, Golub, LeVeque. Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances, 1979.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Float64, Int64

from demist.errors import DataError
from demist.evaluation.extractors.features import (
    as_matrix,
    quotient,
    require_alike,
    require_numbers,
)
from demist.evaluation.metrics.metric import Found, ImageMetric, Need, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference

BLOCK = 1024


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of a set of features; parts of a set can be added.

    Addition is exact up to float64 rounding ([4], eq. 2.1), so features may come in any batches
    and from any number of processes.
    """

    count: int
    mean: Float64[np.ndarray, " d"]
    scatter: Float64[np.ndarray, "d d"]

    @staticmethod
    def of(
        features: Float[np.ndarray, "n d"], rows: Int64[np.ndarray, "_"] | None = None
    ) -> "Moments":
        """Moments of a feature matrix, accumulated over blocks of fixed size.

        Arguments:
            features: in any precision; a block at a time is converted to float64.
            rows: of the features; all by default.

        Raises:
            DataError: no rows, or numbers that are not finite.
        """
        require_numbers(features)
        count = len(features) if rows is None else len(rows)
        parts = (slice(i, min(i + BLOCK, count)) for i in range(0, count, BLOCK))
        blocks = (features[part if rows is None else rows[part]] for part in parts)
        total = _moments(next(blocks))
        for block in blocks:
            total = total + _moments(block)
        return total

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        step = other.mean - self.mean
        cross = np.outer(step, step) * (self.count * other.count / count)
        return Moments(
            count, self.mean + step * (other.count / count), self.scatter + other.scatter + cross
        )

    @property
    def covariance(self) -> Float64[np.ndarray, "d d"]:
        """Unbiased sample covariance.

        Raises:
            DataError: fewer than two samples.
        """
        if self.count < 2:
            raise DataError("A covariance needs at least 2 samples; there is 1.")
        return self.scatter / (self.count - 1)


@dataclass(frozen=True)
class Extrapolation:
    """The Fréchet distance at several sample counts and its limit for infinitely many.

    Arguments:
        limit: intercept of the line through `values` over 1 / `sizes`.
        slope: bias per 1 / N.
        sizes: sample counts.
        values: mean distance at each count.
    """

    limit: float
    slope: float
    sizes: tuple[int, ...]
    values: tuple[float, ...]


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Fréchet distance of the Gaussians with these moments; never negative.

    Raises:
        DataError: a set of fewer than two samples, or two different feature lengths.
    """
    require_alike(a.mean, b.mean)
    step = a.mean - b.mean
    overlap = np.linalg.svd(_factor(a.covariance).T @ _factor(b.covariance), compute_uv=False).sum()
    distance = step @ step + np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(float(distance), 0.0)


def ratio(generated: Moments, test: Moments, train: Moments) -> float:
    """FDr = FD(generated, train) / FD(test, train), from equally many generated and test samples.

    Where both distances are 0 it is 1; where only that of the test samples is, infinite.

    Raises:
        DataError: the two counts differ, which would compare two different biases.
    """
    if generated.count != test.count:
        raise DataError(
            f"FDr needs as many generated as test samples, not {generated.count} and {test.count}: "
            "the bias of the distance depends on the count. Take a random part of the larger set."
        )
    return quotient(frechet_distance(generated, train), frechet_distance(test, train))


def extrapolate(
    features: Float[np.ndarray, "n d"],
    reference: Moments,
    parts: tuple[int, ...] = (1, 2, 3, 4),
    seed: int = 0,
) -> Extrapolation:
    """Fréchet distance of infinitely many samples, from the trend over smaller sets.

    Following [3], a line in 1/N is fitted; but at each size *all* samples are used, as k disjoint
    random sets of N // k whose distances are averaged, which is steadier than one random subset.

    Arguments:
        features: of the generated images.
        reference: moments of the reference set, held fixed.
        parts: the numbers k of sets; those with fewer than 2 D samples each are left out, because
            the trend is a line only where covariances have full rank.
        seed: of the random partition.

    Raises:
        DataError: fewer than two sizes remain.
    """
    features = as_matrix(features)
    n, dim = features.shape
    usable = [k for k in parts if n // k >= 2 * dim]
    if len(usable) < 2:
        raise DataError(
            f"{n} samples are too few to extrapolate a distance of {dim} features; "
            f"at least {4 * dim} are needed."
        )
    shuffled = features[np.random.default_rng(seed).permutation(n)]
    sizes = [n // k for k in usable]
    values = [
        float(
            np.mean(
                [
                    frechet_distance(Moments.of(shuffled[i * size : (i + 1) * size]), reference)
                    for i in range(k)
                ]
            )
        )
        for k, size in zip(usable, sizes, strict=True)
    ]
    slope, limit = np.polyfit(1 / np.array(sizes), values, 1)
    return Extrapolation(float(limit), float(slope), tuple(sizes), tuple(values))


def _moments(block: np.ndarray) -> Moments:
    block = np.asarray(block, np.float64)
    mean = block.mean(0)
    centred = block - mean
    return Moments(len(block), mean, centred.T @ centred)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """F with F Fᵀ = covariance; eigenvalues below zero are rounding errors."""
    values, vectors = np.linalg.eigh(covariance)
    factor: np.ndarray = vectors * np.sqrt(values.clip(0))
    return factor


class Frechet(ImageMetric):
    """Fréchet distance of features: as it is, in units of held-out images, without bias."""

    name: ClassVar[str] = "frechet"
    place: ClassVar[int] = 10
    rows: ClassVar[Mapping[str, Row]] = {
        "fdr": Row("FDr", "1", "everything the features see, in units of held-out images", 2),
        "fd": Row("Fréchet distance", "low", "means and covariances of the features", 4),
        "fd_limit": Row("Fréchet distance, N → ∞", "low", "the same without the bias of N", 4),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        fd = frechet_distance(Moments.of(found.part.features), real.moments)
        values = {"fd": fd}
        if "fd" in real.floor:
            values["fdr"] = quotient(fd, real.floor["fd"])
        if len(found.whole) >= 4 * real.moments.mean.size:
            limit = extrapolate(found.whole.features, real.moments, seed=real.seed).limit
            values["fd_limit"] = limit
        return values

    def floor(self, held_out: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        return {**self(held_out, real), "fdr": 1.0}


class SpatialFrechet(ImageMetric):
    """Fréchet distance of features with their places."""

    name: ClassVar[str] = "spatial-frechet"
    place: ClassVar[int] = 30
    needs: ClassVar[tuple[Need, ...]] = ("spatial",)
    rows: ClassVar[Mapping[str, Row]] = {
        "sfd": Row("spatial Fréchet distance", "low", "where things are in the image", 4),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        if real.where is None:
            return {}
        return {"sfd": frechet_distance(Moments.of(found.part.spatial), real.where)}
