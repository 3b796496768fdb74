import numpy as np
import pytest

from demist.data import load
from demist.data.readers.toy import TOYS


@pytest.mark.parametrize("name", TOYS)
def test_moments_seeds_and_splits(name):
    data = load(name, limit=400_000)
    assert data.x.shape == (400_000, 2)
    assert data.x.dtype == np.float32
    assert abs(data.x.mean(axis=0)).max() < 0.01
    assert abs(data.x.var(axis=0).mean() - 1) < 0.004  # the noise of the moons adds 0.0064
    np.testing.assert_array_equal(load(name, limit=50).x, load(name, limit=50).x)
    first = [
        load(name, limit=50, seed=s, split=p).x[0, 0] for s in (0, 1) for p in ("train", "test")
    ]
    assert len(set(first)) == 4


def test_moons_are_half_circles():
    """Undo the scaling by the moments in closed form: the points lie at radius 1."""
    data = load("moons", limit=50_000)
    mean = np.array([0.5, 0.25])
    variance = (1 / 2 + 1 / 4) + (1 / 2 - 4 / np.pi**2 + (2 / np.pi - 1 / 4) ** 2)
    points = data.x * np.sqrt(1 + 0.08**2) * np.sqrt(variance / 2) + mean
    centres = np.array([[0, 0], [1, 0.5]])[data.labels]
    radius = np.linalg.norm(points - centres, axis=1)
    assert abs(radius.mean() - 1) < 0.005
    assert radius.std() == pytest.approx(0.08 * np.sqrt(variance / 2), rel=0.03)
    above = (points - centres)[:, 1] > 0
    assert (above == (data.labels == 0)).mean() > 0.95


def test_25_gaussians_sit_on_a_grid():
    data = load("25-gaussians", limit=50_000)
    points = data.x * np.sqrt(1 + 0.05**2) * np.sqrt(2)  # a grid of -2..2 has variance 2
    nearest = np.rint(points)
    assert abs(nearest).max() == 2
    assert (nearest - points).std() == pytest.approx(0.05 * np.sqrt(2), rel=0.02)
    np.testing.assert_array_equal(data.labels, 5 * (nearest[:, 0] + 2) + nearest[:, 1] + 2)
    assert abs(np.bincount(data.labels) / 2000 - 1).max() < 0.1
    assert len(data.classes) == 25


def test_the_spiral_turns_twice():
    data = load("spiral", limit=20_000)
    assert data.labels is None
    u = np.linspace(0.01, 0.99, 500)
    x, y = TOYS["spiral"].shape(u).T
    turns = np.unwrap(np.arctan2(y, x)) / (2 * np.pi)
    np.testing.assert_allclose(np.hypot(x, y), 4 * np.pi * np.sqrt(u))
    np.testing.assert_allclose(turns - turns[0], 2 * (np.sqrt(u) - 0.1), atol=1e-9)


def test_eight():
    data = load("eight", limit=7)
    assert data.x.tolist() == [[8.0]] * 7
