"""A report on points in few dimensions: no features are needed, the points are compared as such.

Where the data has classes that are modes (the nearest centre of a class names nearly every held-out
point), lost modes and their proportions are counted too.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from demist.errors import DataError
from demist.evaluation.metrics.distances import nearest
from demist.evaluation.metrics.modes import Modes, score_modes
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein

SEPARATE = 0.99
"""Share of held-out points named by the nearest centre, above which classes are called modes."""


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
    real = train[:n]
    metrics = {
        "sliced_wasserstein": {
            "value": sliced_wasserstein(points[:n], test),
            "floor": sliced_wasserstein(real, test),
        }
    }
    if (modes := _modes(test, test_labels)) is not None:
        centres, radius, target = modes
        found, floor = (score_modes(x[:n], centres, radius, target) for x in (points, real))
        metrics |= {
            "missing": {"value": _missing(found), "floor": _missing(floor)},
            "mode_kl": {"value": found.kl, "floor": found.floor},
            "stray": {"value": 1 - found.close, "floor": 1 - floor.close},
        }
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


def _missing(modes: Modes) -> float:
    return float(len(modes.counts) - modes.covered)
