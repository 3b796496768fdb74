"""Sliced Wasserstein distance against closed forms."""

import itertools

import numpy as np
import pytest

from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein

RNG = np.random.default_rng


def test_a_line_by_hand():
    x, y = np.array([[0.0], [1.0], [5.0]]), np.array([[2.0], [0.0], [2.0]])
    assert sliced_wasserstein(x, y, order=1) == pytest.approx((0 + 1 + 3) / 3)
    assert sliced_wasserstein(x, y) == pytest.approx(np.sqrt((0 + 1 + 9) / 3))


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 2), (4, 6), (1, 5)])
def test_sets_of_different_sizes(n, m):
    """Repeating points until the sizes agree changes nothing."""
    x, y = RNG(0).standard_normal((n, 1)), RNG(1).standard_normal((m, 1))
    expected = sliced_wasserstein(np.repeat(x, m, 0), np.repeat(y, n, 0))
    assert sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-12)


def test_unequal_sizes_are_optimal_transport():
    """Every assignment of six copies costs at least as much."""
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [1.5], [-3.0]])
    a, b = np.repeat(x, 3, 0)[:, 0], np.repeat(y, 2, 0)[:, 0]
    best = min(np.mean((a - b[list(p)]) ** 2) for p in itertools.permutations(range(6)))
    assert sliced_wasserstein(x, y) == pytest.approx(np.sqrt(best))


def test_a_shift_in_d_dimensions():
    """E (θ·v)² = |v|² / d."""
    x = RNG(0).standard_normal((200, 3))
    found = sliced_wasserstein(x, x + np.array([3.0, 0, 0]), projections=20_000)
    assert found == pytest.approx(3 / np.sqrt(3), rel=0.02)


def test_it_is_a_distance():
    x, y = RNG(0).standard_normal((50, 2)), RNG(1).standard_normal((70, 2))
    assert sliced_wasserstein(x, x[::-1]) < 1e-15
    assert sliced_wasserstein(x, y) == pytest.approx(sliced_wasserstein(y, x), rel=1e-12)
    assert sliced_wasserstein(x, y) == sliced_wasserstein(x, y)
    assert sliced_wasserstein(x, y) != sliced_wasserstein(x, y, seed=1)
