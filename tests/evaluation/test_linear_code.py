"""The best linear code: closed laws."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.metrics.linear_code import linear_code
from demist.evaluation.metrics.psnr import psnr

X = np.random.default_rng(0).integers(0, 256, (80, 2, 4, 8)).astype(np.uint8)


def test_as_many_numbers_as_pixels_lose_nothing():
    code = linear_code(X, 2, 8)
    np.testing.assert_array_equal(code.decode(code.encode(X)), X)
    assert code.psnr(X) == float("inf")


def test_the_error_is_the_sum_of_the_variances_left_out():
    code = linear_code(X, 2, 3)
    patches = X.reshape(80, 2, 2, 2, 4, 2).transpose(1, 3, 5, 0, 2, 4).reshape(8, -1)
    left = np.linalg.eigvalsh(np.cov(patches, bias=True))[:5].sum() / 8
    assert code.psnr(X) == pytest.approx(10 * np.log10(255**2 / (left + 1 / 12)), abs=0.02)


def test_the_most_telling_comes_first_and_codes_are_centred():
    z = linear_code(X, 2, 3).encode(X)
    assert z.shape == (80, 3, 2, 4)
    np.testing.assert_allclose(z.mean((0, 2, 3)), 0, atol=1e-9)
    variances = z.var((0, 2, 3)).tolist()
    assert variances == sorted(variances, reverse=True)


def test_patches_of_one_colour_need_one_number_for_each():
    x = np.repeat(np.repeat(X, 4, 2), 4, 3)
    assert psnr(x, linear_code(x, 4, 2).decode(linear_code(x, 4, 2).encode(x))) == float("inf")


@pytest.mark.parametrize("x", [X[:0], X[:, :, :3]], ids=["none", "odd"])
def test_images_that_cannot_be_coded_are_refused(x):
    with pytest.raises(DataError, match="sides that are multiples of 2"):
        linear_code(x, 2, 3)
