"""KID against its definition, and its unbiasedness."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.metrics.kernel import kernel_distance, kernel_distance_subsets

RNG = np.random.default_rng


def definition(x, y):
    """Gretton et al. 2012, eq. 3, with the sums written out."""

    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    xy = sum(k(a, b) for a in x for b in y) / (n * m)
    return xx + yy - 2 * xy


def test_it_is_the_definition():
    x, y = RNG(0).standard_normal((13, 4)), RNG(1).standard_normal((9, 4)) + 1
    assert kernel_distance(x, y) == pytest.approx(definition(x, y), rel=1e-12)
    assert kernel_distance(y, x) == pytest.approx(definition(x, y), rel=1e-12)


def test_it_goes_through_blocks():
    x, y = RNG(0).standard_normal((1100, 3)), RNG(1).standard_normal((700, 3))
    k = [(a @ b.T / 3 + 1) ** 3 for a, b in [(x, x), (y, y), (x, y)]]
    within = [(m.sum() - np.trace(m)) / (len(m) * (len(m) - 1)) for m in k[:2]]
    assert kernel_distance(x, y) == pytest.approx(sum(within) - 2 * k[2].mean(), rel=1e-10)


def test_a_set_against_itself_has_mean_zero():
    """Random halves of one set: the mean over 400 splits is 0 within its error, and not negative
    or positive only."""
    x = RNG(0).standard_normal((60, 5))
    values = []
    for seed in range(400):
        order = RNG(seed).permutation(60)
        values.append(kernel_distance(x[order[:30]], x[order[30:]]))
    values = np.array(values)
    error = values.std() / 20
    assert abs(values.mean()) < 3 * error
    # The biased estimate, diagonals kept, would be off by many errors.
    assert 2 * np.mean((np.einsum("nd,nd->n", x, x) / 5 + 1) ** 3) / 30 > 20 * error
    assert 0.2 < (values < 0).mean() < 0.8


def test_a_shift_is_seen():
    """All points of a set at one place, a or b: the value is k(a, a) + k(b, b) - 2 k(a, b)."""
    a, b = np.ones((5, 2)), np.full((6, 2), 3.0)
    assert kernel_distance(a, b) == pytest.approx(2**3 + 10**3 - 2 * 4**3)


def test_subsets():
    x, y = RNG(0).standard_normal((300, 4)), RNG(1).standard_normal((300, 4)) + 0.5
    values = kernel_distance_subsets(x, y, subsets=20, size=100)
    assert values.shape == (20,)
    assert abs(values.mean() - kernel_distance(x, y)) < 3 * values.std()
    np.testing.assert_array_equal(values, kernel_distance_subsets(x, y, subsets=20, size=100))
    with pytest.raises(DataError, match="Subsets of 301"):
        kernel_distance_subsets(x, y, size=301)


def test_two_samples_at_least():
    with pytest.raises(DataError, match="at least 2"):
        kernel_distance(np.ones((1, 3)), np.ones((5, 3)))


def test_other_lengths_are_refused():
    x = np.random.default_rng(0).standard_normal((20, 4))
    with pytest.raises(DataError, match="length 4 and 3"):
        kernel_distance(x, x[:, :3])
