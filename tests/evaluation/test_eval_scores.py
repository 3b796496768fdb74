"""Scores without a reference set: Inception Score and Vendi score."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.metrics.inception_score import inception_score
from demist.evaluation.metrics.vendi import vendi_score

RNG = np.random.default_rng


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_sure_and_even_is_the_number_of_classes(classes):
    assert inception_score(np.tile(np.eye(classes), (3, 1))) == pytest.approx(classes, rel=1e-12)


def test_unsure_or_one_sided_is_one():
    assert inception_score(np.full((20, 5), 0.2)) == pytest.approx(1, rel=1e-12)
    assert inception_score(np.eye(5)[[2] * 20]) == pytest.approx(1, rel=1e-12)


def test_in_between():
    """Two images, two classes, p and 1 - p: IS = 2 exp(-H(p))."""
    p = 0.9
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    found = inception_score(np.array([[p, 1 - p], [1 - p, p]], np.float32))
    assert found == pytest.approx(2 * np.exp(-entropy), rel=1e-6)


def test_logits_are_refused():
    with pytest.raises(DataError, match="softmax"):
        inception_score(RNG(0).standard_normal((5, 3)))
    with pytest.raises(DataError, match="softmax"):
        inception_score(np.array([[1.5, -0.5]]))


@pytest.mark.parametrize(("n", "dim"), [(5, 5), (5, 40), (40, 40)])
def test_orthogonal_vectors_count_fully(n, dim):
    basis = np.linalg.qr(RNG(0).standard_normal((dim, dim)))[0]
    assert vendi_score(basis[:n] * np.arange(1, n + 1)[:, None]) == pytest.approx(n, rel=1e-10)


def test_copies_count_once():
    x = RNG(0).standard_normal((1, 7))
    assert vendi_score(np.repeat(x, 30, 0)) == pytest.approx(1, rel=1e-9)
    assert vendi_score(np.repeat(np.eye(4, 7), 30, 0)) == pytest.approx(4, rel=1e-9)


def test_both_ways_to_the_spectrum_agree():
    """Two vectors at an angle: eigenvalues (1 ± cos) / 2, however often they are repeated."""
    c = np.cos(0.7)
    pair = np.array([[1.0, 0.0], [c, np.sin(0.7)]])
    p = np.array([1 + c, 1 - c]) / 2
    expected = np.exp(-(p * np.log(p)).sum())
    for repeats in (1, 10):
        padded = np.pad(np.repeat(pair, repeats, 0), ((0, 0), (0, 3)))
        assert vendi_score(padded) == pytest.approx(expected, rel=1e-9)


def test_a_zero_vector_has_no_direction():
    with pytest.raises(DataError, match="zero"):
        vendi_score(np.array([[0.0, 0.0], [1.0, 0.0]]))
