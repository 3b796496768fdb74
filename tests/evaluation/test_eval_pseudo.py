"""Clusters find what is plainly there, and repeat themselves."""

import numpy as np

from demist.evaluation.judge.pseudo import clusters


def kinds(n, seed):
    """Four images in noise."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(9).integers(0, 200, (4, 1, 6, 6))
    labels = rng.integers(0, 4, n)
    return (base[labels] + rng.integers(0, 50, (n, 1, 6, 6))).astype(np.uint8), labels


def test_kinds_are_found():
    (x, kind), (y, other) = kinds(300, 0), kinds(100, 1)
    found, named = clusters(x, y, k=4)
    pairs = set(zip(found.tolist(), kind.tolist(), strict=True))
    assert len(pairs) == 4
    assert set(zip(named.tolist(), other.tolist(), strict=True)) == pairs


def test_a_seed_fixes_them_and_few_images_have_few():
    (x, _), (y, _) = kinds(80, 0), kinds(10, 1)
    np.testing.assert_array_equal(clusters(x, y, seed=3)[0], clusters(x, y, seed=3)[0])
    assert clusters(x[:6], y)[0].max() <= 2
    flat = np.zeros((5, 1, 4, 4), np.uint8)
    assert clusters(flat, flat)[0].shape == (5,)
