r"""Which modes of a known mixture are there, and in the right proportion?

Samples are assigned to modes (by nearest centre, or by a classifier) and the counts compared with
the target proportions q:

.. math::
    \mathrm{KL}(\hat p \,\|\, q) = \sum_k \hat p_k \log(\hat p_k / q_k)     (nats; [1], section 4.1)

Even perfect samples do not reach zero: with n samples and K modes the mean is about (K-1)/(2n).
For stacked MNIST, 1000 modes and 25,600 samples, that is 0.0195, below which no claim makes sense.
`kl_floor` gives the exact mean.

References:
    [1] Metz et al. Unrolled Generative Adversarial Networks, 2017.
        https://arxiv.org/abs/1611.02163
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float, Float64, Int64

from demist.errors import DataError
from demist.evaluation.extractors.features import as_matrix
from demist.evaluation.metrics.distances import nearest
from demist.evaluation.metrics.metric import Found, ImageMetric, Need, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference


@dataclass(frozen=True)
class Modes:
    """Score of samples from a mixture.

    Arguments:
        counts: samples per mode.
        covered: number of modes with at least one sample.
        kl: KL(counts || target) in nats.
        floor: its mean for perfect samples, in nats.
        close: share of samples within the radius of their mode.
    """

    counts: Int64[np.ndarray, " k"]
    covered: int
    kl: float
    floor: float
    close: float


def score_modes(
    points: Float[np.ndarray, "n d"],
    centres: Float[np.ndarray, "k d"],
    radius: float,
    target: Float[np.ndarray, " k"] | None = None,
) -> Modes:
    """Score points of a mixture with known centres.

    A mode counts only the samples within `radius` for `counts` and `covered` (three standard
    deviations is usual); the KL is over all samples by nearest centre, so that stray samples
    cannot leave the sum.

    Arguments:
        points: generated points.
        centres: of the modes.
        radius: how near a sample must be to belong, in units of the points.
        target: proportions of the modes; uniform by default.
    """
    distance, mode = nearest(as_matrix(points), centres)
    close = distance[:, 0] <= radius
    counts = count_modes(mode[close, 0], len(centres))
    everything = count_modes(mode[:, 0], len(centres))
    return Modes(
        counts=counts,
        covered=int(np.count_nonzero(counts)),
        kl=kl_to(everything, target),
        floor=kl_floor(len(points), _proportions(len(centres), target)),
        close=float(close.mean()),
    )


def count_modes(modes: Int64[np.ndarray, " n"], k: int) -> Int64[np.ndarray, " {k}"]:
    """Samples per mode, for mode numbers 0 .. k - 1.

    Raises:
        DataError: a number out of that range.
    """
    if len(modes) and (modes.min() < 0 or modes.max() >= k):
        raise DataError(
            f"Mode numbers {modes.min()} .. {modes.max()} leave the range 0 .. {k - 1}."
        )
    return np.bincount(modes, minlength=k).astype(np.int64)


def kl_to(counts: Int64[np.ndarray, " k"], target: Float[np.ndarray, " k"] | None = None) -> float:
    """KL(counts / sum || target) in nats; infinite where the target has no mass and samples fall.

    Raises:
        DataError: no samples at all, or a target that is not a distribution.
    """
    q = _proportions(len(counts), target)
    if counts.sum() == 0:
        raise DataError("There are 0 samples to compare with the target proportions.")
    p = counts / counts.sum()
    there = p > 0
    if (q[there] == 0).any():
        return float("inf")
    return max(float((p[there] * np.log(p[there] / q[there])).sum()), 0.0)


def kl_floor(n: int, target: Float[np.ndarray, " k"]) -> float:
    """Mean of `kl_to` over n perfect samples of the target, in nats; exact.

    Counts are binomial, and E[X f(X)] = n q E[f(X' + 1)] with X' ~ Binomial(n - 1, q), so

        E KL = sum_k q_k E[log((X'_k + 1) / (n q_k))].
    """
    q = _proportions(len(target), target)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    x = np.arange(n)
    log_choose = log_factorial[n - 1] - log_factorial[x] - log_factorial[n - 1 - x]
    total = 0.0
    for value, modes in zip(*np.unique(q[q > 0], return_counts=True), strict=True):
        if value == 1:  # one mode takes all
            continue
        weights = np.exp(log_choose + x * np.log(value) + (n - 1 - x) * np.log1p(-value))
        total += modes * value * float(weights @ np.log((x + 1) / (n * value)))
    return total


def _proportions(k: int, target: np.ndarray | None) -> Float64[np.ndarray, " k"]:
    if target is None:
        return np.full(k, 1 / k)
    q = np.asarray(target, np.float64)
    if q.min() < 0 or abs(q.sum() - 1) > 1e-6:
        raise DataError(f"Target proportions must be positive and sum to 1, not {q.sum():.6g}.")
    share: np.ndarray = q / q.sum()
    return share


class ClassProportions(ImageMetric):
    """Whether classes have the proportions of the data."""

    name: ClassVar[str] = "class-proportions"
    place: ClassVar[int] = 80
    needs: ClassVar[tuple[Need, ...]] = ("logits",)
    rows: ClassVar[Mapping[str, Row]] = {
        "class_kl": Row("KL of classes, nats", "low", "classes in the proportions of the data", 4),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        counts = count_modes(found.part.labels, len(real.target))
        return {"class_kl": kl_to(counts, real.target)}
