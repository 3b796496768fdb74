"""A codebook of moving averages, against sums made by hand."""

import math

import numpy as np
import pytest
import torch

from demist.networks.moving_codebook import FORGET, MovingCodebook, Usage, spread
from demist.networks.published.vq_model import Codebook


def book(codes, decay=0.5, places=4):
    made = Codebook(*torch.tensor(codes).shape)
    made.embedding.weight = torch.nn.Parameter(torch.tensor(codes))
    return MovingCodebook(made, decay, places)


def maps(*rows):
    """Images of 2 x 2 latents with one channel."""
    return torch.tensor(rows).reshape(len(rows), 1, 2, 2)


Z = maps([0.0, 0.1, 0.9, 1.1], [0.2, 1.2, 1.0, 1.0])
"""Three are nearest to code 0, at 0.0; five to code 1, at 1.0; none to code 2, at 9.0."""


def test_a_batch_is_counted_and_summed_by_hand():
    made = book([[0.0], [1.0], [9.0]])
    y, told = made(Z, torch.full((2, 2), 0.3), range(2), 2)
    assert torch.equal(y, maps([0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]))
    assert torch.allclose(told[:, 0] * 2, torch.tensor([3.0, 5.0, 0.0]))
    assert torch.allclose(told[:, 2] * 2, torch.tensor([0.3, 5.2, 0.0]))
    # Image 0 proposes for codes 0 and 2, image 1 for code 1: place int(0.3 * 4) = 1.
    assert torch.allclose(told[:, 1] * 2, torch.ones(3))
    assert torch.allclose(told[:, 3] * 2, torch.tensor([0.1, 1.2, 0.1]))


def test_codes_are_quotients_of_the_averages():
    made = book([[0.0], [1.0], [9.0]])
    made.updates.fill_(1000)  # the start is forgotten
    counts, sums = made.counts.clone(), made.sums.clone()
    usage = made.settle(made(Z, torch.rand(2, 2), range(2), 2)[1])
    n, m = torch.tensor([1.5, 2.5, 0.0]), torch.tensor([[0.15], [2.6], [0.0]])
    assert torch.allclose(made.counts, counts / 2 + n / 2)
    assert torch.allclose(made.sums, sums / 2 + m / 2)
    assert torch.allclose(made.codes, made.sums / made.counts[:, None])
    p = np.array([3, 5]) / 8
    assert usage.codes == 2
    assert usage.perplexity == pytest.approx(math.exp(-(p * np.log(p)).sum()))


def test_the_first_updates_forget_the_start():
    made = book([[0.0], [1.0], [9.0]], decay=0.99)
    before = made.counts.clone()
    made.settle(made(Z, torch.rand(2, 2), range(2), 2)[1])
    decay = 1 / (1 + FORGET)
    assert torch.allclose(
        made.counts[:2], decay * before[:2] + (1 - decay) * torch.tensor([1.5, 2.5])
    )


def test_a_dead_code_goes_to_the_proposed_latent():
    made = book([[0.0], [1.0], [9.0]], decay=0.0)
    made.settle(made(Z, torch.full((2, 2), 0.3), range(2), 2)[1])
    assert made.codes[2].item() == pytest.approx(0.1)
    assert made.counts[2] == pytest.approx(4 / 3)  # that of an equal share
    assert made.codes[0].item() == pytest.approx(0.1)  # (0 + 0.1 + 0.2) / 3
    assert made.codes[1].item() == pytest.approx(5.2 / 5)


def test_parts_of_a_batch_say_what_the_whole_says():
    torch.manual_seed(0)
    z, chance = torch.randn(8, 3, 2, 2), torch.rand(8, 3)
    made = book(torch.randn(20, 3).tolist())
    whole = made(z, chance, range(8), 8)[1]
    parts = [made(z[i : i + 2], chance[i : i + 2], range(i, i + 2), 8)[1] for i in (0, 2, 4, 6)]
    assert torch.allclose(torch.stack(parts).mean(0), whole, atol=1e-7)
    assert torch.equal(whole[:, 1], torch.full((20,), 1 / 8))  # each code has its proposal


def test_equally_frequent_codes_have_the_perplexity_of_their_number():
    usage = Usage.of(torch.tensor([2.0, 2.0, 0.0, 2.0]))
    assert (usage.codes, usage.perplexity) == (3, pytest.approx(3.0))


def test_the_start_lies_among_the_latents_and_far_apart():
    x = torch.cat([torch.full((50, 2), float(c)) for c in range(6)])
    chosen = spread(x, 6, np.random.default_rng(0))
    assert sorted(chosen[:, 0].tolist()) == [0, 1, 2, 3, 4, 5]  # equal latents are never drawn
    made = book(torch.zeros(6, 2).tolist())
    made.start(x, np.random.default_rng(0))
    assert torch.equal(made.sums / made.counts[:, None], made.codes)
