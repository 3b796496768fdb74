"""One path, whatever the number of steps."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from demist.core import VP, Cosine, Linear, Seeded
from demist.core.brownian import Brownian, bridge, increment
from demist.core.exact import Exact, points
from demist.samplers import make_solver, sample, uniform
from truth import MIXTURE, SCHEDULES, T, f64, interior, rms

MANY = (40_000,)  # elements of one draw are independent paths


@pytest.mark.parametrize("w", [0.5, 0.37, 1e-3, 1e-9, 1 - 1e-6])
def test_the_bridge_has_its_variance(w):
    z = bridge("a", w, MANY) / np.sqrt(w * (1 - w))
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.var() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(("v", "w"), [(0.2, 0.7), (0.5, 0.51), (0.02, 0.9), (0.3, 0.3001)])
def test_the_bridge_has_its_covariance(v, w):
    """Cov(B(v), B(w)) = v (1 - w) for v < w."""
    product = bridge("b", v, MANY) * bridge("b", w, MANY)
    assert product.mean() == pytest.approx(v * (1 - w), abs=4 * product.std() / 200)
    jump = (bridge("b", w, MANY) - bridge("b", v, MANY)).var()
    assert jump == pytest.approx((w - v) * (1 - (w - v)), rel=0.03)


def test_the_bridge_is_zero_at_both_ends():
    for w in (0.0, 1.0):
        assert (bridge("c", w, (3,)) == 0).all()


@pytest.mark.parametrize(("w", "end"), [(1.0, 0.6), (0.6, 0.59), (0.01, 1e-5), (1.0, 1e-12)])
def test_increments_are_standard_normal(w, end):
    z = increment(w, end, bridge("d", w, MANY), bridge("d", end, MANY))
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.var() == pytest.approx(1, abs=0.03)


def test_increments_of_disjoint_steps_are_independent():
    levels = [1.0, 0.8, 0.3, 0.29, 1e-3]
    ends = [bridge("e", w, MANY) for w in levels]
    pairs = zip(pairwise(levels), pairwise(ends), strict=True)
    z = np.stack([increment(*w, *b) for w, b in pairs])
    np.testing.assert_allclose(np.cov(z), np.eye(4), atol=0.03)


@pytest.mark.parametrize("name", ["linear", "vp", "ve", "table-zero-snr"])
def test_fine_steps_add_up_to_coarse_ones(name):
    schedule, x = SCHEDULES[name], torch.zeros(3, 2, dtype=f64)
    noise, fine = Brownian([1, 2, 3], schedule), uniform(40)[:-1]

    def moved(grid):
        """In N: a draw times the root of the step in the signal-to-noise ratio."""
        u = schedule.log_snr(grid).exp()
        steps = zip(pairwise(grid), pairwise(u), strict=True)
        return sum(
            (b - a).sqrt() * noise.at(i, t, s)(x) for i, ((t, s), (a, b)) in enumerate(steps)
        )

    torch.testing.assert_close(moved(fine), moved(fine[[0, 7, 8, 39]]), rtol=1e-9, atol=1e-9)


def test_a_pure_function_of_seed_and_interval():
    schedule, x = Cosine(), torch.zeros(1, 5, dtype=f64)
    once = Brownian([7], schedule).at(3, T(0.5), T(0.4))(x)
    noise = Brownian([7], schedule)
    noise.at(0, T(1.0), T(0.5))(x)  # what was asked before does not matter
    assert torch.equal(noise.at(9, T(0.5), T(0.4))(x), once)
    assert not torch.equal(Brownian([8], schedule).at(3, T(0.5), T(0.4))(x), once)
    batch = Brownian([6, 7], schedule).at(3, T(0.5), T(0.4))(x.expand(2, 5))
    assert torch.equal(batch[1:], once)


def test_further_draws_of_a_step_are_independent():
    here = Brownian([1], VP()).at(0, T(0.6), T(0.5))
    like = torch.zeros(1, *MANY)
    first, second = here(like), here(like)
    assert float((first * second).mean()) == pytest.approx(0, abs=0.02)


def test_the_initial_noise_is_that_of_seeded():
    like = torch.zeros(2, 3)
    assert torch.equal(Brownian([1, 2], VP())(like), Seeded([1, 2])(like))


@pytest.mark.parametrize("solver", ["ddpm", "ddim:eta=1", "sde-dpmpp-2m", "sde-adams"])
def test_where_x0_is_constant_the_number_of_steps_does_not_matter(solver):
    model = Exact(points(T([[0.5, -2.0]])), Linear())
    x, solver = torch.randn(4, 2, dtype=f64), make_solver(solver)
    noise, fine = Brownian(range(4), Linear()), uniform(60)[:50]
    ends = [sample(model, x, grid, solver, noise) for grid in (fine, fine[[0, 20, 49]])]
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["ddpm", "sde-adams"])
def test_strong_convergence(solver):
    """The same path, ever more closely: strong order 1."""
    schedule, solver = VP(), make_solver(solver)
    model, noise = Exact(MIXTURE, schedule), Brownian(range(16), schedule)
    x = torch.randn(16, 2, dtype=f64, generator=torch.Generator().manual_seed(3))
    fine = interior(schedule, 256, -4, 3)
    end = {k: sample(model, x, fine[::k], solver, noise) for k in (1, 4, 16)}
    coarse, quarter = rms(end[16] - end[1]), rms(end[4] - end[1])
    assert coarse < 0.2
    assert math.log2(coarse / quarter) / 2 == pytest.approx(1, abs=0.25)
    other = sample(model, x, fine[::16], solver, Seeded(range(16)))
    assert rms(other - end[1]) > 3 * coarse  # not with noise that knows nothing of the path


def test_refuses_what_has_no_increment():
    noise, x = Brownian([1, 2], VP()), torch.zeros(2, 3)
    with pytest.raises(ValueError, match="go down"):
        noise.at(0, T(0.4), T(0.5))
    with pytest.raises(ValueError, match="go down"):
        noise.at(0)
    with pytest.raises(ValueError, match="clean data"):
        noise.at(0, T(0.4), T(0.0))(x)
    with pytest.raises(ValueError, match="2 seeds but was asked for noise for 3"):
        noise.at(0, T(0.4), T(0.3))(torch.zeros(3, 3))


def test_log_prob_is_standard_normal():
    z = torch.randn(3, 4, dtype=f64)
    want = torch.distributions.Normal(T(0.0), T(1.0)).log_prob(z).sum(1)
    torch.testing.assert_close(Brownian([1, 2, 3], VP()).log_prob(z), want)
