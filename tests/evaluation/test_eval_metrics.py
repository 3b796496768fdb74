"""The family of metrics: what the table holds, in which order, and what each needs."""

from collections import Counter

import numpy as np

from demist.evaluation.metrics import METRICS, ImageMetric, PointMetric, TextMetric, rows_of
from demist.evaluation.metrics.points import measure_points

IMAGES = [
    "fdr", "fd", "fd_limit", "kid", "sfd", "precision", "recall", "density", "coverage", "vendi",
    "inception_score", "label_accuracy", "class_kl", "sharpness", "nearest_ratio", "closer",
    "copies", "authenticity",
]  # fmt: skip


def test_the_rows_and_their_order_are_pinned():
    assert list(rows_of(ImageMetric)) == IMAGES
    points = ["sliced_wasserstein", "missing", "mode_kl", "stray"]
    assert list(rows_of(PointMetric)) == points
    assert list(rows_of(TextMetric)) == [
        *("text_score", "text_score_shuffled", "prompt_diversity", "prompt_diversity_others")
    ]
    better = {key: row.better for key, row in rows_of().items()}
    assert {better[k] for k in ("fd", "class_kl", "sliced_wasserstein")} == {"low"}
    assert {better[k] for k in ("precision", "label_accuracy", "text_score")} == {"high"}
    assert (better["fdr"], better["copies"], better["closer"]) == ("1", "0", "0.5")


def test_no_two_metrics_have_a_number_of_the_same_name():
    count = Counter(key for cls in METRICS.classes for key in cls.rows)
    assert max(count.values()) == 1
    assert set(count) == set(rows_of())
    titles = Counter(row.title for row in rows_of().values())
    assert max(titles.values()) == 1


def test_what_a_metric_needs_is_known():
    known = {"images", "features", "spatial", "logits", "labels"}
    metrics = [cls for cls in METRICS.classes if issubclass(cls, ImageMetric)]
    assert all(cls.needs and known.issuperset(cls.needs) for cls in metrics)


def test_points_on_the_modes_have_the_floor_of_the_proportions():
    """With equally many points the mean KL of draws is the same for samples and real points."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    train, test, x = (
        (rng.normal(0, 0.1, (200, 2)) + 5 * labels[:, None]).astype(np.float32) for _ in range(3)
    )
    found = measure_points(x[labels == 0], train, test, labels)["metrics"]
    assert found["missing"] == {"value": 1, "floor": 0}
    assert found["mode_kl"]["value"] == np.log(2)
    assert found["mode_kl"]["floor"] < 0.01
