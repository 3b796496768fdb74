"""A report on points in few dimensions: no features are needed, the points are compared as such.

Where the data has classes that are modes (the nearest centre of a class names nearly every held-out
point), lost modes and their proportions are counted too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, Int64

from demist.errors import DataError
from demist.evaluation.metrics.distances import nearest
from demist.evaluation.metrics.metric import PointMetric, Row, metrics_of
from demist.evaluation.metrics.modes import score_modes

SEPARATE = 0.99
"""Share of held-out points named by the nearest centre, above which classes are called modes."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out points.

    Attributes:
        test: The points.
        modes: Centres, radius and proportions, if their classes are modes.
    """

    test: np.ndarray
    modes: tuple[np.ndarray, float, np.ndarray] | None


def measure_points(
    points: Float32[np.ndarray, "n d"],
    train: Float32[np.ndarray, "m d"],
    test: Float32[np.ndarray, "k d"],
    test_labels: Int64[np.ndarray, "_"] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Report on generated points, in the form of `report.evaluate`.

    Arguments:
        points: generated.
        train: as many of them as points take the place of these for the floor.
        test: what both are compared with.
        test_labels: classes, which may be modes.
        seed: recorded.

    Raises:
        DataError: no points.
    """
    n = min(len(points), len(train))
    if n == 0:
        raise DataError("There are 0 points to measure; pass at least one.")
    real = HeldOut(test, _modes(test, test_labels))
    metrics: dict[str, Any] = {}
    for metric in metrics_of(PointMetric):  # type: ignore[type-abstract]
        value, floor = metric(points[:n], real), metric.floor(train[:n], real)
        metrics |= {key: {"value": value[key], "floor": floor.get(key)} for key in value}
    protocol = {
        "generated": len(points),
        "train": len(train),
        "test": len(test),
        "compared": n,
        "reference": "test",
        "seed": seed,
        "features": "the points themselves",
        "dimension": points.shape[1],
    }
    return {"protocol": protocol, "metrics": metrics, "classes": None, "warnings": []}


def _modes(
    test: np.ndarray, labels: np.ndarray | None
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Centres, radius (three standard deviations) and proportions; None if classes are no modes."""
    if labels is None or len(counts := np.bincount(labels)) < 2 or not counts.all():
        return None
    x = test.astype(np.float64)
    centres = np.stack([x[labels == k].mean(0) for k in range(len(counts))])
    if (nearest(x, centres)[1][:, 0] == labels).mean() < SEPARATE:
        return None
    spread = float(np.sqrt(((x - centres[labels]) ** 2).mean()))
    return centres, 3 * spread, np.full(len(counts), 1 / len(counts))


class PointModes(PointMetric):
    """Modes of points: lost ones, their proportions, and points away from all."""

    name: ClassVar[str] = "modes"
    place: ClassVar[int] = 20
    rows: ClassVar[Mapping[str, Row]] = {
        "missing": Row("modes without a sample", "0", "modes lost", 1),
        "mode_kl": Row("KL of modes, nats", "as real", "modes in the right proportions", 4),
        "stray": Row("samples away from all modes", "as real", "points between the modes", 4),
    }

    def __call__(self, points: np.ndarray, real: HeldOut) -> Mapping[str, float]:
        """See `PointMetric`."""
        if real.modes is None:
            return {}
        found = score_modes(points, *real.modes)
        lost = float(len(found.counts) - found.covered)
        return {"missing": lost, "mode_kl": found.kl, "stray": 1 - found.close}

    def floor(self, points: np.ndarray, real: HeldOut) -> Mapping[str, float]:
        """See `PointMetric`; of the proportions the mean over draws is known."""
        if real.modes is None:
            return {}
        return {**self(points, real), "mode_kl": score_modes(points, *real.modes).floor}
