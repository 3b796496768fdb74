"""Langevin dynamics, alone, annealed, and as a corrector."""

import math
from dataclasses import replace

import pytest
import torch

from demist.core import VE, VP, Gaussian, Linear, Seeded
from demist.core.exact import Exact, Mixture, points
from demist.errors import UsageError
from demist.samplers import (
    DDIM,
    SOLVERS,
    Heun,
    angular,
    make_solver,
    sample,
    uniform,
)
from demist.samplers.langevin import annealed_langevin, langevin
from demist.samplers.solvers.corrector import Corrected
from truth import MIXTURE, Recorded, T, f64, push

VARIANCE = 0.3
GAUSSIAN = Mixture(T([1.0]), T([[0.7]]), VARIANCE)


def test_langevin_of_song_and_ermon():
    """x + epsilon / 2 score + sqrt(epsilon) z, with epsilon = delta sigma^2."""
    model, t, delta = Exact(MIXTURE, VP()), T(0.3), 0.2
    x, draws = torch.randn(4, 2, dtype=f64), torch.randn(3, 4, 2, dtype=f64)
    ours = list(langevin(model, x, t, 3, delta, Recorded(draws)))
    epsilon = delta * VP()(t)[1] ** 2
    for k in range(3):
        x = x + epsilon / 2 * model(x, t).score + epsilon.sqrt() * draws[k]
        torch.testing.assert_close(ours[k], x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("delta", [0.02, 0.1, 0.5])
def test_its_stationary_variance_is_off_as_documented(delta):
    """V / (1 - delta sigma^2 / (4 V)), from gain and noise of one step."""
    schedule, t = VP(), T(0.3)
    model = Exact(GAUSSIAN, schedule)
    alpha, sigma = schedule(t)
    total = alpha**2 * VARIANCE + sigma**2
    x = torch.tensor([[0.0], [1.0], [0.0]], dtype=f64)
    kick = torch.tensor([[0.0], [0.0], [1.0]], dtype=f64)
    y = next(langevin(model, x, t, 1, delta, Recorded([kick]))).squeeze()
    gain, noise = y[1] - y[0], y[2] - y[0]
    want = total / (1 - delta * sigma**2 / (4 * total))
    torch.testing.assert_close(noise**2 / (1 - gain**2), want, rtol=1e-10, atol=0)
    assert want / total - 1 < delta / 4 * 1.2


def test_langevin_samples_the_marginal_from_anywhere():
    model, t = Exact(MIXTURE, VP()), T(0.3)
    noise = Gaussian(torch.Generator().manual_seed(0))
    *_, x = langevin(model, torch.full((2000, 2), 5.0, dtype=f64), t, 200, 0.1, noise)
    alpha, sigma = VP()(t)
    want = alpha * MIXTURE.sample(100_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(x.mean(0), want.mean(0), rtol=0, atol=0.08)
    torch.testing.assert_close(x.T.cov(), want.T.cov() + sigma**2 * torch.eye(2), rtol=0, atol=0.1)


def test_langevin_goes_on_where_it_stopped():
    model, x = Exact(MIXTURE, VP()), torch.randn(2, 2, dtype=f64)
    whole = list(langevin(model, x, T(0.3), 6, 0.1, Seeded([1, 2])))
    rest = list(langevin(model, whole[3], T(0.3), 2, 0.1, Seeded([1, 2]), index=4))
    assert torch.equal(rest[-1], whole[-1])
    assert not torch.equal(whole[0] - x, whole[1] - whole[0])


def test_annealed_langevin_of_song_and_ermon():
    """Algorithm 1 on sigmas, then the predicted x0."""
    schedule, steps, delta = VE(80.0), 4, 0.2
    model, sigmas = Exact(MIXTURE, schedule), torch.logspace(1, -1, 5, dtype=f64)
    x = 10 * torch.randn(3, 2, dtype=f64)
    draws = torch.randn(5 * steps, 3, 2, dtype=f64)
    grid = torch.cat([sigmas / 80, T([0.0])])
    ours = list(annealed_langevin(model, x, grid, steps, delta, Recorded(draws)))
    epsilon = delta * sigmas[-1] ** 2
    for i, sigma in enumerate(sigmas):
        alpha_i = epsilon * sigma**2 / sigmas[-1] ** 2
        for k in range(steps):
            score = model(x, sigma / 80).score
            x = x + alpha_i / 2 * score + alpha_i.sqrt() * draws[i * steps + k]
        torch.testing.assert_close(ours[i].x, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(ours[-1].x, model(x, sigmas[-1] / 80).x0, rtol=1e-10, atol=1e-10)
    assert [state.index for state in ours] == list(range(6))


@pytest.mark.slow
def test_annealed_langevin_finds_the_mixture():
    schedule = VE(80.0)
    grid = torch.cat([torch.logspace(1, -1.5, 12, dtype=f64) / 80, T([0.0])])
    x = 10 * torch.randn(2000, 2, dtype=f64)
    model, noise = Exact(MIXTURE, schedule), Gaussian(torch.Generator().manual_seed(0))
    *_, end = annealed_langevin(model, x, grid, 80, 0.2, noise)
    want = MIXTURE.sample(100_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(end.x.mean(0), want.mean(0), rtol=0, atol=0.1)
    torch.testing.assert_close(end.x.T.cov(), want.T.cov(), rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("t", "delta", "message"),
    [(0.0, 0.1, "has no score"), (1.5, 0.1, r"\(0, 1\], got 1.5"), (0.5, 0.0, "delta")],
)
def test_langevin_refuses(t, delta, message):
    model, x = Exact(MIXTURE, VP()), torch.zeros(1, 2, dtype=f64)
    with pytest.raises(ValueError, match=message):
        next(langevin(model, x, T(t), 1, delta))
    with pytest.raises(ValueError, match=message):
        next(annealed_langevin(model, x, T([t]), 1, delta))
    with pytest.raises(ValueError, match="decreasing"):
        next(annealed_langevin(model, x, T([0.3, 0.4])))


def test_corrector_is_the_formula():
    schedule, t, s = VP(), T(0.6), T(0.5)
    model, x = Exact(MIXTURE, schedule), torch.randn(4, 2, dtype=f64)
    draws = torch.randn(2, 4, 2, dtype=f64)
    ours, memory = Corrected(DDIM(), n=2, delta=0.3).step(model, x, t, s, None, Recorded(draws))
    y, _ = DDIM().step(model, x, t, s, None, Recorded([]))
    h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
    d = 0.3 * (1 - torch.exp(-2 * h))
    for z in draws:
        p = model(y, s)
        y = p.alpha * p.x0 + p.sigma * ((1 - d).sqrt() * p.eps + d.sqrt() * z)
    torch.testing.assert_close(ours, y, rtol=1e-12, atol=1e-12)
    assert memory is None


@pytest.mark.parametrize("delta", [0.1, 1.0])
def test_corrector_is_exact_where_x0_is_constant(delta):
    """Whatever the step, the noise keeps its variance."""
    schedule, s = Linear(), T(0.5)
    model = Exact(points(T([[0.7]])), schedule)
    alpha, sigma = schedule(s)
    grid = T([1.0, 0.8, 0.5])
    mean, variance = push(model, grid, Corrected(DDIM(), 3, delta), T(0.0), T(1.0))
    torch.testing.assert_close(mean, alpha * 0.7)
    torch.testing.assert_close(variance, sigma**2)


@pytest.mark.parametrize("schedule", [Linear(), VP(), VE()])
def test_correction_helps_a_coarse_predictor(schedule):
    (a, s), model = schedule(T(1.0)), Exact(GAUSSIAN, schedule)

    def error(solver):
        grid = angular(12, schedule)
        mean, variance = push(model, grid, solver, a * 0.7, a**2 * VARIANCE + s**2)
        return abs(float(mean) - 0.7) + abs(float(variance) - VARIANCE)

    corrected = Corrected(DDIM(), n=1), Corrected(DDIM(), n=4)
    assert error(corrected[1]) < error(corrected[0]) < 0.9 * error(DDIM())


def test_corrector_keeps_the_memory_of_its_predictor():
    solver = Corrected(make_solver("dpmpp-2m"), delta=1e-12)
    model, x = Exact(MIXTURE, Linear()), torch.randn(3, 2, dtype=f64)
    noise = Seeded(range(3))
    plain = sample(model, x, uniform(8), solver.solver)
    torch.testing.assert_close(
        sample(model, x, uniform(8), solver, noise), plain, atol=1e-4, rtol=0
    )


def test_corrector_by_name():
    assert make_solver("corrected:solver=heun,n=2") == Corrected(Heun(), n=2)
    assert make_solver("corrected:solver=ddim:eta=0.5,delta=1") == Corrected(DDIM(0.5), delta=1.0)
    assert "corrected" in SOLVERS.names()
    with pytest.raises(UsageError, match="heum"):
        make_solver("corrected:solver=heum")
    with pytest.raises(UsageError, match="use the solver alone"):
        make_solver("corrected:n=0")
    with pytest.raises(ValueError, match="delta"):
        replace(Corrected(), delta=1.5)
    assert math.isfinite(Corrected(Heun(), n=3).evaluations(4))
    assert Corrected(Heun(), n=3).evaluations(4) == 7 + 9
