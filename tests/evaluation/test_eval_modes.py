"""Counts and divergences of mixtures; the floor that perfect samples have."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.metrics.modes import count_modes, kl_floor, kl_to, score_modes

RNG = np.random.default_rng


def test_kl_by_hand():
    assert kl_to(np.array([5, 5])) == 0
    assert kl_to(np.array([10, 0])) == pytest.approx(np.log(2))
    assert kl_to(np.array([3, 1]), np.array([0.5, 0.5])) == pytest.approx(
        0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    )
    assert kl_to(np.array([1, 3]), np.array([0.25, 0.75])) == pytest.approx(0, abs=1e-15)
    assert kl_to(np.array([1, 3]), np.array([0.0, 1.0])) == np.inf
    assert kl_to(np.array([0, 3]), np.array([0.0, 1.0])) == 0


def test_the_floor_by_enumeration():
    """Three samples of a fair coin: 3:0 with probability 1/4, 2:1 with 3/4."""
    expected = np.log(2) / 4 + 3 / 4 * (2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3))
    assert kl_floor(3, np.array([0.5, 0.5])) == pytest.approx(expected, rel=1e-12)
    assert kl_floor(10, np.array([1.0])) == 0
    assert kl_floor(10, np.array([0.0, 1.0])) == 0
    assert kl_floor(1, np.full(7, 1 / 7)) == pytest.approx(np.log(7), rel=1e-12)


def test_the_floor_of_stacked_mnist():
    """1000 modes, 25,600 samples: (K - 1) / 2n = 0.0195."""
    floor = kl_floor(25_600, np.full(1000, 1e-3))
    assert floor == pytest.approx(999 / 51_200, rel=0.01)
    counts = RNG(0).multinomial(25_600, np.full(1000, 1e-3), size=20)
    assert np.mean([kl_to(c) for c in counts]) == pytest.approx(floor, rel=0.02)


def test_the_floor_of_unequal_modes():
    q = np.array([0.5, 0.3, 0.15, 0.05])
    counts = RNG(0).multinomial(40, q, size=4000)
    values = [kl_to(c, q) for c in counts]
    assert abs(np.mean(values) - kl_floor(40, q)) < 3 * np.std(values) / 4000**0.5


def test_modes_of_a_mixture():
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = np.array([[0.1, 0], [0, 0.1], [10, 0.2], [10, 3.0]])
    found = score_modes(points, centres, radius=0.5)
    assert found.counts.tolist() == [2, 1, 0]
    assert found.covered == 2
    assert found.close == 0.75
    assert found.kl == pytest.approx(np.log(3 / 2))
    assert found.floor == kl_floor(4, np.full(3, 1 / 3))


def test_perfect_samples_reach_the_floor():
    centres = np.stack(np.meshgrid(np.arange(5), np.arange(5)), -1).reshape(25, 2) * 10.0
    mode = RNG(0).integers(0, 25, 20_000)
    found = score_modes(centres[mode] + RNG(1).standard_normal((20_000, 2)), centres, radius=3.0)
    assert found.covered == 25
    assert found.close == pytest.approx(1 - np.exp(-4.5), abs=0.002)
    assert found.kl == pytest.approx(found.floor, rel=0.9)
    assert found.floor == pytest.approx(24 / 40_000, rel=0.01)


def test_what_is_refused():
    with pytest.raises(DataError, match=r"0 \.\. 3 leave the range 0 \.\. 2"):
        count_modes(np.array([0, 3]), 3)
    with pytest.raises(DataError, match="0 samples"):
        kl_to(np.array([0, 0]))
    with pytest.raises(DataError, match=r"sum to 1, not 1\.5"):
        kl_to(np.array([1, 1]), np.array([0.5, 1.0]))
