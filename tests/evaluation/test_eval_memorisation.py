"""Copies are caught; fresh samples are not accused."""

import numpy as np
import pytest

from demist.evaluation.metrics.memorisation import memorisation

RNG = np.random.default_rng


def draw(n, seed, dim=3):
    return RNG(seed).standard_normal((n, dim))


def test_exact_values():
    """On a line: training at 0, 4, 5; tests at distance 1 and 3; three generated points."""
    train = np.array([[0.0], [4.0], [5.0]])
    test = np.array([[-1.0], [8.0]])
    generated = np.array([[0.5], [4.1], [-2.0]])
    found = memorisation(generated, test, train)
    assert found.ratio == pytest.approx(0.5 / 2)
    assert found.closer == pytest.approx((1 + 1 + 0.5) / 3)  # 0.5 and 0.1 below both, 2 below one
    assert found.copies == pytest.approx(2 / 3)  # 0.5 of 3.5, and 0.1 of 0.9; not 2 of 6
    # spacing of the training points: 4, 1, 1; distances 0.5 < 4, 0.1 < 1, 2 < 4
    assert found.authenticity == 0
    assert found.test_copies == pytest.approx(1 / 2)  # 1 of 5; not 3 of 4
    assert found.test_authenticity == pytest.approx(1 / 2)  # 1 < 4, but 3 >= 1


def test_fresh_samples_look_like_test_samples():
    found = memorisation(draw(1500, 0), draw(1500, 1), draw(1500, 2))
    assert found.ratio == pytest.approx(1, abs=0.05)
    assert found.closer == pytest.approx(0.5, abs=0.03)
    assert found.copies == pytest.approx(found.test_copies, abs=0.03)
    # For one distribution, d(y, x) and x's own spacing are exchangeable up to a selection effect.
    assert found.authenticity == pytest.approx(found.test_authenticity, abs=0.05)


def test_copies_are_caught():
    train = draw(500, 2)
    found = memorisation(train[:200], draw(300, 1), train)
    assert (found.ratio, found.closer, found.copies, found.authenticity) == (0, 1, 1, 0)
    found = memorisation(train[:200] + 1e-3, draw(300, 1), train)
    assert found.ratio < 0.02
    assert found.closer > 0.98
    assert found.copies > 0.98
    assert found.authenticity < 0.02


def test_half_of_the_samples_copied():
    train = draw(1000, 2)
    mixed = np.concatenate([draw(500, 0), train[:500]])
    found = memorisation(mixed, draw(1000, 1), train)
    natural = found.test_copies
    assert found.copies == pytest.approx(0.5 + 0.5 * natural, abs=0.04)
    assert found.closer == pytest.approx(0.75, abs=0.03)


def test_identical_test_and_generated_sets_tie():
    test = draw(200, 1)
    found = memorisation(test, test, draw(300, 2))
    assert found.ratio == 1
    assert found.closer == 0.5


def test_test_images_among_the_training_images():
    train = draw(50, 2)
    assert memorisation(train, train, train).ratio == 1
    assert memorisation(train + 1, train, train).ratio == np.inf
