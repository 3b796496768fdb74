import math

import pytest
import torch

from demist.core import Gaussian, Seeded


def test_a_sample_does_not_depend_on_its_batch():
    whole = Seeded([5, 6, 7])(torch.empty(3, 4, 4))
    alone = Seeded([6])(torch.empty(1, 4, 4))
    assert torch.equal(whole[1:2], alone)


def test_steps_and_draws_are_independent_streams():
    noise, like = Seeded([5]), torch.empty(1, 20_000)
    draws = [noise(like), noise(like), noise.at(0)(like), noise.at(1)(like), Seeded([6])(like)]
    correlation = torch.corrcoef(torch.cat(draws))
    assert (correlation - torch.eye(5)).abs().max() < 5 / math.sqrt(20_000)
    assert torch.equal(noise.at(1)(like), draws[3])  # whatever was drawn before


def test_seeds_are_not_cut_to_32_bits():
    like = torch.empty(1, 8)
    one, far, negative = (Seeded([s])(like) for s in (1, 1 + 2**32, -1))
    assert not torch.equal(one, far)
    assert not torch.equal(one, negative)


@pytest.mark.parametrize("noise", [Gaussian(), Seeded(range(1000))])
def test_standard_normal(noise):
    z = noise(torch.empty(1000, 100, dtype=torch.float64))
    assert z.dtype == torch.float64
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.1


def test_same_numbers_in_every_precision():
    double = Seeded([3])(torch.empty(1, 50, dtype=torch.float64))
    assert torch.equal(Seeded([3])(torch.empty(1, 50)), double.float())


def test_log_prob():
    z = torch.randn(4, 3, 2)
    want = torch.distributions.Normal(0, 1).log_prob(z).sum((1, 2))
    torch.testing.assert_close(Gaussian().log_prob(z), want)


def test_one_seed_per_sample():
    with pytest.raises(ValueError, match="2 seeds but was asked for noise for 3"):
        Seeded([1, 2])(torch.empty(3, 1))
