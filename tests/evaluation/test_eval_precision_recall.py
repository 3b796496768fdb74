"""Precision, recall, density, coverage: by definition, in expectation, and at the edges."""

import numpy as np
import pytest

from demist.errors import DataError, UsageError
from demist.evaluation.metrics.distances import neighbour_radius
from demist.evaluation.metrics.precision_recall import PrecisionRecall, precision_recall

RNG = np.random.default_rng


def definition(x, y, k):
    """The formulas of the module, with full matrices."""
    d = np.sqrt(((y[:, None] - x[None]) ** 2).sum(-1))
    rx = np.sort(np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1)), 1)[:, k]
    ry = np.sort(np.sqrt(((y[:, None] - y[None]) ** 2).sum(-1)), 1)[:, k]
    inside = d <= rx
    return PrecisionRecall(
        precision=inside.any(1).mean(),
        recall=(d <= ry[:, None]).any(0).mean(),
        density=inside.sum() / (k * len(y)),
        coverage=inside.any(0).mean(),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_the_definition(k):
    x, y = RNG(0).standard_normal((150, 4)), 0.7 * RNG(1).standard_normal((90, 4)) + 0.4
    found, expected = precision_recall(x, y, k), definition(x, y, k)
    assert vars(found) == pytest.approx(vars(expected), rel=1e-12)
    assert precision_recall(x, y, k, neighbour_radius(x, k)) == found


def test_mean_values_for_one_distribution():
    """Among N - 1 real and M generated neighbours of a real point all orders are equally likely, so

    E density = 1 and E coverage = 1 - C(N-1, k) / C(N+M-1, k), whatever the distribution.
    """
    n, m, k, runs = 60, 40, 3, 300
    found = [
        precision_recall(
            RNG((s, 0)).standard_normal((n, 2)), RNG((s, 1)).standard_normal((m, 2)), k
        )
        for s in range(runs)
    ]
    expected = 1 - np.prod([(n - 1 - i) / (n + m - 1 - i) for i in range(k)])
    for values, mean in (
        ([f.coverage for f in found], expected),
        ([f.density for f in found], 1.0),
    ):
        assert abs(np.mean(values) - mean) < 3.5 * np.std(values) / runs**0.5


def by_the_authors_formula(x, y, k):
    """As `prdc` computes it: full matrices of distances by subtraction, and `argpartition`."""
    distance = pytest.importorskip("scipy.spatial.distance").cdist

    def radii(z):
        d = distance(z, z)
        return np.take_along_axis(d, np.argpartition(d, k + 1, 1)[:, : k + 1], 1).max(1)

    between = distance(x, y)
    inside = between < radii(x)[:, None]
    return {
        "precision": inside.any(0).mean(),
        "recall": (between < radii(y)).any(1).mean(),
        "density": inside.sum(0).mean() / k,
        "coverage": (between.min(1) < radii(x)).mean(),
    }


def test_high_dimension_is_hard():
    """Perfect samples of N(0, I_1000) score far from 1, and so by the authors' formula.

    Means and standard deviations of single draws at 1000 samples are over thirty other draws, which
    `prdc` gives the same values; for 10,000 samples see benchmarks/results/evaluation.md.
    """
    draws = [RNG((0, seed)).standard_normal((2, 1000, 1000)) for seed in range(4)]
    found = [vars(precision_recall(x, y)) for x, y in draws]
    few = draws[0][:, :300]
    assert vars(precision_recall(*few)) == pytest.approx(by_the_authors_formula(*few, 5), rel=1e-12)
    for name, mean, spread in (
        ("precision", 0.595, 0.020),
        ("recall", 0.594, 0.025),
        ("density", 1.001, 0.101),
        ("coverage", 0.970, 0.010),
    ):
        values = [row[name] for row in found]
        assert np.mean(values) == pytest.approx(mean, abs=3.5 * spread / 2), name


def test_a_missing_mode_costs_recall_not_precision():
    two = RNG(0).standard_normal((400, 2)) + np.where(np.arange(400) < 200, 0, 50)[:, None]
    one = RNG(1).standard_normal((400, 2))
    found = precision_recall(two, one)
    assert found.precision > 0.95
    assert found.recall == pytest.approx(0.5, abs=0.02)
    assert found.coverage == pytest.approx(0.5, abs=0.02)
    swapped = precision_recall(one, two)
    assert swapped.precision == pytest.approx(0.5, abs=0.02)
    assert swapped.recall > 0.95


def test_far_away_is_nothing_and_copies_are_everything():
    x = RNG(0).standard_normal((50, 3))
    assert vars(precision_recall(x, x + 100)) == dict.fromkeys(
        ("precision", "recall", "density", "coverage"), 0
    )
    same = precision_recall(x, x, k=5)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert same.density == pytest.approx(6 / 5)  # the k-th neighbour lies on the surface


def test_a_collapsed_generator_has_no_variety():
    x = RNG(0).standard_normal((50, 3))
    found = precision_recall(x, np.repeat(x[:1], 50, 0))
    assert found.precision == 1
    assert found.recall == 1 / 50


def test_enough_neighbours():
    with pytest.raises(DataError, match=r"5 features are too few.*at least 6"):
        precision_recall(np.ones((5, 2)), np.ones((9, 2)), k=5)


def test_what_has_no_neighbour_or_another_length_is_refused():
    x = np.random.default_rng(0).standard_normal((20, 4))
    with pytest.raises(UsageError, match="k = 0"):
        precision_recall(x, x, 0)
    with pytest.raises(UsageError, match="k = 0"):
        neighbour_radius(x, 0)
    with pytest.raises(DataError, match="length 4 and 3"):
        precision_recall(x, x[:, :3], 2)
