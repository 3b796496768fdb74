"""Fréchet distance against closed forms."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.metrics.frechet import Moments, extrapolate, frechet_distance, ratio

RNG = np.random.default_rng


def gaussian(mean, covariance, count=100):
    """Moments of a Gaussian, exactly."""
    covariance = np.array(covariance, float)
    return Moments(count, np.array(mean, float), covariance * (count - 1))


def random_covariance(dim, seed, rank=None):
    root = RNG(seed).standard_normal((dim, dim if rank is None else rank))
    return root @ root.T


def test_one_dimension():
    """(m1 - m2)² + (s1 - s2)²."""
    found = frechet_distance(gaussian([1.0], [[4.0]]), gaussian([4.0], [[25.0]]))
    assert found == pytest.approx(9 + 9, rel=1e-14)


def test_two_dimensions_that_do_not_commute():
    """tr (AB)^½ = (tr AB + 2 (det AB)^½)^½ for 2x2 matrices (Cayley-Hamilton)."""
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[5.0, -2.0], [-2.0, 1.0]])
    assert not np.allclose(a @ b, b @ a)
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = 0.5**2 + np.trace(a) + np.trace(b) - 2 * root
    found = frechet_distance(gaussian([0, 0], a), gaussian([0.5, 0], b))
    assert found == pytest.approx(expected, rel=1e-12)


def test_against_the_matrix_root():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = random_covariance(20, 0), random_covariance(20, 1)
    expected = np.trace(a) + np.trace(b) - 2 * np.trace(linalg.sqrtm(a @ b)).real
    found = frechet_distance(gaussian(np.zeros(20), a), gaussian(np.zeros(20), b))
    assert found == pytest.approx(expected, rel=1e-10)


def test_singular_covariances_keep_their_precision():
    """A root of the product would be wrong by about 1e-8 per empty direction."""
    a = random_covariance(50, 0, rank=5)
    assert frechet_distance(gaussian(np.zeros(50), a), gaussian(np.zeros(50), a)) < 1e-12 * a.max()
    doubled = frechet_distance(gaussian(np.zeros(50), a), gaussian(np.zeros(50), 4 * a))
    assert doubled == pytest.approx(np.trace(a), rel=1e-12)


def test_moments_are_those_of_numpy():
    x = RNG(0).standard_normal((3000, 6)) * 3 + 1000
    m = Moments.of(x)
    assert m.count == 3000
    np.testing.assert_allclose(m.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(m.covariance, np.cov(x.T), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cuts", [[1], [7, 8, 1500], [1024], [2999]])
def test_moments_add_up(cuts):
    x = RNG(0).standard_normal((3000, 6)).astype(np.float32) + 5
    parts = [Moments.of(part) for part in np.split(x, cuts)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    whole = Moments.of(x)
    assert total.count == whole.count
    np.testing.assert_allclose(total.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(total.scatter, whole.scatter, rtol=1e-11, atol=1e-9)


def test_the_bias_is_removed():
    """N(0, I) against itself: E|mean|² = D/n, and the covariance adds D(D+1)/(4n) to leading order.

    The distance at N is biased by that much; its limit is zero.
    """
    dim, n, runs = 16, 4000, 40
    reference = gaussian(np.zeros(dim), np.eye(dim))
    trends = [extrapolate(RNG(s).standard_normal((n, dim)), reference) for s in range(runs)]
    assert trends[0].sizes == (4000, 2000, 1333, 1000)
    slope = dim + dim * (dim + 1) / 4
    assert np.mean([t.slope for t in trends]) == pytest.approx(slope, rel=0.05)
    assert np.mean([t.values[0] for t in trends]) == pytest.approx(slope / n, rel=0.05)
    limits = np.array([t.limit for t in trends])
    assert abs(limits.mean()) < 3 * limits.std() / runs**0.5 < 0.1 * slope / n
    assert trends[0] == extrapolate(RNG(0).standard_normal((n, dim)), reference)


def test_a_true_distance_survives_extrapolation():
    reference = gaussian(np.zeros(8), np.eye(8))
    limits = [
        extrapolate(1.5 * RNG(s).standard_normal((4000, 8)) + 0.25, reference).limit
        for s in range(40)
    ]
    assert np.mean(limits) == pytest.approx(8 * (0.25**2 + 0.5**2), rel=0.01)


def test_extrapolation_needs_full_rank():
    reference = gaussian(np.zeros(16), np.eye(16))
    assert extrapolate(RNG(0).standard_normal((64, 16)), reference).sizes == (64, 32)
    with pytest.raises(DataError, match=r"63 samples .* at least 64"):
        extrapolate(RNG(0).standard_normal((63, 16)), reference)


def test_the_ratio_compares_equal_counts():
    train, test = gaussian([0.0], [[1.0]]), gaussian([1.0], [[1.0]], count=50)
    assert ratio(gaussian([2.0], [[1.0]], count=50), test, train) == pytest.approx(4)
    with pytest.raises(DataError, match="not 60 and 50"):
        ratio(gaussian([2.0], [[1.0]], count=60), test, train)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="length 1 and 2"):
        frechet_distance(gaussian([0.0], [[1.0]]), gaussian([0.0, 0.0], np.eye(2)))
    with pytest.raises(DataError, match="at least 2"):
        _ = Moments.of(np.ones((1, 3))).covariance
    with pytest.raises(DataError, match="NaN"):
        Moments.of(np.full((5, 3), np.nan))


def test_a_ratio_to_nothing_is_infinite_and_of_nothing_to_nothing_one():
    x = np.random.default_rng(0).standard_normal((50, 4))
    same, other = Moments.of(x), Moments.of(x + 1)
    assert ratio(other, same, same) == np.inf
    assert ratio(same, same, same) == 1


def test_rows_are_a_part():
    x = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    rows = np.random.default_rng(1).permutation(3000)[:2500]
    one, other = Moments.of(x, rows), Moments.of(x[rows])
    np.testing.assert_array_equal(one.scatter, other.scatter)
