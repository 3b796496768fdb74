import numpy as np
import pytest
import torch

from demist.codecs import Pixels, Standardize
from demist.errors import NotFiniteError


def test_every_byte_survives_and_half_a_step_of_error_too():
    codec = Pixels()
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    z = codec.encode(x)
    assert (z.dtype, float(z.min()), float(z.max())) == (torch.float32, -1.0, 1.0)
    assert torch.equal(codec.decode(z), x)
    assert torch.equal(codec.decode(z + 0.99 / 255), x)
    assert torch.equal(codec.decode(z - 0.99 / 255), x)


def test_what_lies_outside_is_clamped():
    x = torch.tensor([-7.0, -1.001, 1.001, 9.0, -torch.inf, torch.inf]).reshape(1, 1, 1, 6)
    assert Pixels().decode(x).flatten().tolist() == [0, 0, 255, 255, 0, 255]


def test_no_byte_is_nan():
    x = torch.zeros(3, 1, 2, 2)
    x[1, 0, 1, 0] = torch.nan
    with pytest.raises(NotFiniteError, match=r"1 of 3 samples came out as NaN .* less guidance"):
        Pixels().decode(x)


def test_standardize():
    x = np.random.default_rng(0).normal([3, -5], [2, 4], (1000, 2)).astype(np.float32)
    codec = Standardize.of(x)
    z = codec.encode(torch.from_numpy(x))
    torch.testing.assert_close(z.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    # One scale for all coordinates: the mean variance is 1, their ratio is kept.
    variance = z.var(0, correction=0)
    assert float(variance.mean()) == pytest.approx(1, abs=1e-5)
    assert float(variance[1] / variance[0]) == pytest.approx(
        x[:, 1].var() / x[:, 0].var(), rel=1e-4
    )
    torch.testing.assert_close(codec.decode(z), torch.from_numpy(x))


def test_one_point_is_only_centred():
    codec = Standardize.of(np.full((5, 1), 8.0))
    assert codec == Standardize((8.0,), 1.0)
    assert codec.decode(torch.zeros(2, 1)).tolist() == [[8.0], [8.0]]
    with pytest.raises(ValueError, match="above zero"):
        Standardize((0.0,), 0.0)
