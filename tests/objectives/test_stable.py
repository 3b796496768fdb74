"""Stable targets: the posterior over a finite data set, which `core.exact` has in closed form."""

import pytest
import torch

from demist.core import Linear, Seeded
from demist.core.exact import Exact, points
from demist.objectives import Candidates, SimpleWeight, denoising_loss
from truth import f64

SCHEDULE = Linear()
DATA = torch.randn(40, 5, dtype=f64, generator=torch.Generator().manual_seed(1))
TIMES = torch.tensor([0.02, 0.2, 0.4, 0.6, 0.8, 1.0], dtype=f64)
FIRST = torch.arange(6)


def noisy():
    alpha, sigma = SCHEDULE(TIMES)
    eps = torch.randn(6, 5, dtype=f64, generator=torch.Generator().manual_seed(2))
    return alpha[:, None] * DATA[:6] + sigma[:, None] * eps, alpha, sigma


def assert_posterior(candidates, data):
    """`data(i)`: what sample i may have been."""
    x, alpha, sigma = noisy()
    x0, eps = candidates.means(x, DATA[:6], alpha, sigma)
    for i in range(6):
        mean, noise = points(data(i)).posterior(x[i], alpha[i], sigma[i])
        torch.testing.assert_close(x0[i].double(), mean, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(eps[i].double(), noise, atol=1e-3, rtol=1e-3)  # over sigma
    torch.testing.assert_close(alpha[:, None] * x0 + sigma[:, None] * eps, x)


def test_of_all_examples_they_are_the_posterior():
    assert_posterior(Candidates({3: DATA}, torch.full((6,), 3), FIRST), lambda i: DATA)


def test_of_other_examples_the_sample_is_one_more():
    found = Candidates({0: DATA[6:]}, 0 * FIRST, 0 * FIRST - 1)
    assert_posterior(found, lambda i: torch.cat([DATA[i : i + 1], DATA[6:]]))


def test_each_sample_is_compared_with_its_own_set():
    x, alpha, sigma = noisy()
    of = torch.tensor([0, 1, 0, 1, 1, 0])
    sets = {0: DATA[6:20], 1: DATA[20:]}
    nowhere = 0 * FIRST - 1
    both = Candidates(sets, of, nowhere).means(x, DATA[:6], alpha, sigma)[0]
    for k in sets:
        alone = Candidates({0: sets[k]}, 0 * of, nowhere).means(x, DATA[:6], alpha, sigma)[0]
        torch.testing.assert_close(both[of == k], alone[of == k])
    assert (both[of == 0] - both[of == 1]).abs().max() > 0.1


def test_a_sample_without_a_set_keeps_its_target():
    x, alpha, sigma = noisy()
    found = Candidates({0: DATA}, 0 * FIRST + 1, FIRST)
    x0, _ = found.means(x, DATA[:6], alpha, sigma)
    torch.testing.assert_close(x0.double(), DATA[:6])


def test_the_best_denoiser_has_no_loss_left():
    """Without them, its loss is the variance of what the noisy data may have been."""
    model, noise = Exact(points(DATA), SCHEDULE), Seeded(range(6))
    stable = Candidates({0: DATA}, 0 * FIRST, FIRST)
    left_over = denoising_loss(model, DATA[:6], TIMES, SimpleWeight(), noise)
    assert left_over[3:5].min() > 1e-2
    loss = denoising_loss(model, DATA[:6], TIMES, SimpleWeight(), noise, stable)
    assert loss.max() < 1e-6


@pytest.mark.parametrize("size", [8, 40])
def test_the_mean_of_the_targets_is_the_posterior(size):
    """A part of the data, drawn at random, has the same optimum, up to about 1 / size."""
    alpha, sigma = SCHEDULE(torch.tensor([0.7], dtype=f64))
    g = torch.Generator().manual_seed(3)
    n = 20_000
    x = torch.tensor([0.3, -0.2, 0.1, 0.4, -0.5], dtype=f64)
    weight = (-(x - alpha * DATA).square().sum(1) / (2 * sigma**2)).softmax(0)
    own = torch.multinomial(weight, n, replacement=True, generator=g)  # what x may be of
    total = torch.zeros(5, dtype=f64)
    for start in range(0, n, 500):
        rows = torch.randperm(40, generator=g)[:size]
        mine = own[start : start + 500]
        among = mine[:, None] == rows
        place = torch.where(among.any(1), among.long().argmax(1), -1)
        stable = Candidates({0: DATA[rows]}, torch.zeros(500, dtype=torch.long), place)
        many = x.expand(500, 5)
        total += stable.means(many, DATA[mine], alpha.expand(500), sigma.expand(500))[0].sum(0)
    truth = points(DATA).posterior(x[None], alpha, sigma)[0][0]
    assert (total / n - truth).abs().max() < (0.1 if size < 40 else 1e-4)
