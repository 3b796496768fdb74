"""Copies are caught; fresh samples are not accused."""

import tracemalloc

import numpy as np
import pytest

from demist.data import digits
from demist.evaluation.metrics.distances import HELD
from demist.evaluation.metrics.memorisation import Closeness, memorisation

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


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_training_set_given_as_samples_is_copied_however_often_it_is_there(times):
    base, test = draw(500, 0, 64), draw(500, 1, 64)
    found = memorisation(base, test, np.repeat(base, times, axis=0))
    assert (found.copies, found.authenticity) == (1, 0)
    once = memorisation(base, test, base)
    assert (found.test_copies, found.test_authenticity) == (0, once.test_authenticity)
    assert once.test_authenticity > 0.3


@pytest.mark.parametrize("noise", [1e-3, 1e-2])
def test_twins_saved_anew_hide_no_copy(noise):
    base, test = draw(500, 0, 64), draw(500, 1, 64)
    again = [base + noise * draw(500, seed, 64) for seed in (2, 3, 4)]
    found = memorisation(again[0], test, np.concatenate([base, *again[1:]]))
    assert (found.copies, found.authenticity) == (1, 0)
    half = memorisation(base, test, np.concatenate([base, again[0][:250]]))
    assert (half.copies, half.authenticity) == (1, 0)


def test_a_training_set_whose_held_out_part_has_its_twins():
    """A tenth of a set in which each image is there twice: most of it is in the training part."""
    every = np.repeat(draw(300, 0, 64), 2, axis=0) + 1e-3 * draw(600, 1, 64)
    order = RNG(2).permutation(600)
    train, test = every[order[60:]], every[order[:60]]
    found = memorisation(train + 1e-3 * draw(540, 4, 64), test, train)
    assert (found.copies, found.authenticity) == (1, 0)
    assert found.test_copies > 0.8
    fresh = memorisation(draw(300, 3, 64), test, train)
    assert fresh.copies == 0
    assert fresh.authenticity > 0.3


def test_twins_do_not_accuse_fresh_samples():
    base = draw(800, 2, 24)
    once = memorisation(draw(800, 0, 24), draw(800, 1, 24), base)
    twice = memorisation(draw(800, 0, 24), draw(800, 1, 24), np.repeat(base, 2, axis=0))
    assert once == twice
    assert once.copies < 0.01


def test_digits_saved_anew_are_copies():
    """As JPEG files would be: each number off by a few of 255."""
    x, test = digits("train").x[:400, 0], digits("test").x[:300, 0]
    x, test = (some[:, ::2, ::2].reshape(len(some), -1) for some in (x, test))
    off = RNG(0).normal(0, 3, (2, *x.shape))
    near = [np.rint(x + some).clip(0, 255).astype(np.uint8) for some in off]
    found = memorisation(near[0], test, np.concatenate([x, near[1]]))
    assert (found.copies, found.authenticity) == (1, 0)
    assert found.test_copies < 0.05


def test_all_images_alike():
    same = np.ones((5, 16))
    found = memorisation(same, same, same)
    assert (found.copies, found.authenticity) == (1, 0)


def test_bytes_stay_bytes_and_no_more_than_a_block_is_converted():
    x = RNG(0).integers(0, 255, (3000, 3 * 32 * 32), dtype=np.uint8)
    tracemalloc.start()
    found = Closeness.of(x[:200], x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.shares_memory(found.train, x)
    assert peak < 15 * 8 * HELD
    assert found.copies == 1
