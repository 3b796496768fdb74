"""Blocks of fixed size, checked matrices, exact distances."""

import numpy as np
import pytest
import torch

from demist.errors import DataError
from demist.evaluation.extractors.features import as_matrix, in_blocks, pixels, take
from demist.evaluation.metrics.distances import BLOCK, nearest, neighbour_radius, squared_distances

RNG = np.random.default_rng


def images(n, shape=(1, 4, 4), seed=0):
    return RNG(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def full_distances(x, y):
    """The matrix by definition, with no trick."""
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 20])
def test_the_network_always_sees_one_shape(n):
    seen = []

    def network(x):
        seen.append(tuple(x.shape))
        return x.flatten(1).float()

    x = images(n)
    np.testing.assert_array_equal(in_blocks(network, x, block=8), pixels(x).astype(np.float32))
    assert seen == [(8, 1, 4, 4)] * -(-n // 8)


def test_images_are_needed():
    with pytest.raises(DataError, match="0 images"):
        in_blocks(lambda x: x.flatten(1).float(), images(0))


def test_read_only_images_are_fine():
    x = images(3)
    x.flags.writeable = False
    assert in_blocks(lambda x: x.flatten(1).float(), x).shape == (3, 16)


def test_a_matrix_is_checked():
    assert as_matrix(np.ones((2, 3), np.float32)).dtype == np.float64
    with pytest.raises(DataError, match=r"1 features are too few.*at least 2"):
        as_matrix(np.ones((1, 3)), least=2)
    with pytest.raises(DataError, match="2 of 4 points contain NaN"):
        as_matrix(np.array([[0.0], [np.nan], [1.0], [np.inf]]), name="points")


def test_take_repeats_nothing():
    assert sorted(take(np.arange(9), 9, RNG(0))) == list(range(9))
    assert len(set(take(np.arange(9), 5, RNG(0)))) == 5


def test_distances_are_those_of_the_definition():
    x, y = RNG(0).standard_normal((BLOCK + 70, 5)), RNG(1).standard_normal((90, 5))
    found = [(start, block.copy()) for start, block in squared_distances(x, y)]
    assert [start for start, _ in found] == [0, BLOCK]
    expected = full_distances(x, y)
    np.testing.assert_allclose(np.sqrt(np.concatenate([b for _, b in found])), expected, rtol=1e-12)
    distances, indices = nearest(x, y, k=3)
    np.testing.assert_array_equal(indices, expected.argsort(1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(expected, 1)[:, :3], rtol=1e-12)


def test_pixel_distances_are_exact():
    x = images(40, (3, 16, 16))
    expected = full_distances(x.reshape(40, -1).astype(int), x.reshape(40, -1).astype(int))
    found = np.concatenate([block for _, block in squared_distances(pixels(x), pixels(x))])
    np.testing.assert_array_equal(np.sqrt(found), expected)


def test_copies_are_at_distance_zero_also_far_from_the_origin():
    x = RNG(0).standard_normal((50, 30)) + 100
    distances, indices = nearest(x, x)
    assert (distances == 0).all()
    np.testing.assert_array_equal(indices[:, 0], np.arange(50))


def test_the_radius_does_not_count_the_point_itself():
    x = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_array_equal(neighbour_radius(x, 1), [1, 1, 2, 4])
    np.testing.assert_array_equal(neighbour_radius(x, 2), [3, 2, 3, 6])


def test_inference_leaves_no_graph():
    weight = torch.ones(16, requires_grad=True)
    out = in_blocks(lambda x: x.flatten(1).float() * weight, images(2))
    assert isinstance(out, np.ndarray)
