"""Multistep solvers of the reverse SDE: exactness, moments, order."""

from itertools import pairwise

import pytest
import torch

from demist.core import VE, VP, Linear, Prediction
from demist.core.exact import Exact, Mixture
from demist.samplers import DDIM, angular, karras, make_solver, sample, smooth
from demist.samplers.solvers.sde_adams import SDEAdams
from demist.samplers.solvers.sde_dpmpp_2m import SDEDPMpp2M
from demist.samplers.solvers.sde_dpmpp_3m import SDEDPMpp3M
from truth import (
    MIXTURE,
    NORMAL,
    Recorded,
    T,
    end_to_end_error,
    f64,
    interior,
    noise_and_data,
    observed_order,
    push,
)

ETAS = [0.0, 0.5, 1.0, 1.5]
GAUSS_NODES = torch.tensor(
    [-0.9061798459386640, -0.5384693101056831, 0.0, 0.5384693101056831, 0.9061798459386640],
    dtype=f64,
)
GAUSS_WEIGHTS = torch.tensor(
    [
        0.2369268850561891,
        0.4786286704993665,
        0.5688888888888889,
        0.4786286704993665,
        0.2369268850561891,
    ],
    dtype=f64,
)


def half(schedule, t):
    return schedule.log_snr(t) / 2


def level(schedule, t):
    """w = sigma^2 / (alpha^2 + sigma^2)."""
    return schedule.angle(t).sin() ** 2


class Known:
    """x0 is a function of time alone, so that the exact solution is an integral."""

    def __init__(self, schedule, x0):
        self.schedule, self.x0 = schedule, x0

    def __call__(self, x, t, **cond):
        alpha, sigma = self.schedule(t)
        x0 = self.x0(t) * torch.ones_like(x)
        return Prediction(x0, (x - alpha * x0) / sigma, alpha, sigma)


def exact_mean(schedule, x, t, s, eta, x0):
    """Variation of constants, by Gauss-Legendre quadrature in half the log-SNR on 200 pieces."""
    k, now, then = 1 + eta**2, half(schedule, t), half(schedule, s)
    edges = torch.linspace(float(now), float(then), 201, dtype=f64)
    centre, width = (edges[1:] + edges[:-1])[:, None] / 2, edges.diff()[:, None] / 2
    u = centre + width * GAUSS_NODES
    values = k * torch.exp(-k * (then - u)) * x0(schedule.time_at(2 * u))
    (_, sigma_t), (alpha, sigma) = schedule(t), schedule(s)
    start = sigma / sigma_t * torch.exp(-(eta**2) * (then - now)) * x
    return start + alpha * (width * GAUSS_WEIGHTS * values).sum()


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("eta", ETAS)
def test_3m_integrates_parabolas_exactly(eta, degree):
    """Uneven steps, after two steps that filled the memory."""
    schedule, solver = VP(), SDEDPMpp3M(eta)
    model = Known(schedule, lambda t: half(schedule, t) ** degree)
    grid, x, memory = T([0.8, 0.7, 0.55, 0.3]), torch.ones(1, 1, dtype=f64), None
    for t, s in pairwise(grid):
        before = x
        x, memory = solver.step(model, x, t, s, memory, Recorded([torch.zeros_like(x)]))
    want = exact_mean(schedule, before, grid[-2], grid[-1], eta, model.x0)
    torch.testing.assert_close(x, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("end", [0.3, 0.0])
@pytest.mark.parametrize("degree", [0, 1])
def test_adams_integrates_lines_in_w_exactly(degree, end):
    """From pure noise, and onto clean data too."""
    schedule = Linear()
    model = Known(schedule, lambda t: 2 + 3 * level(schedule, t) ** degree)
    x, memory, still = torch.ones(1, 1, dtype=f64), None, Recorded([torch.zeros(1, 1, dtype=f64)])
    x, memory = SDEAdams().step(model, x, T(1.0), T(0.7), memory, still)
    last, _ = SDEAdams().step(
        model, x, T(0.7), T(end), memory, Recorded([torch.zeros(1, 1, dtype=f64)])
    )
    want = exact_mean(schedule, x, T(0.7), T(end or 1e-9), 1.0, model.x0)
    torch.testing.assert_close(last, want, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("kind", [SDEDPMpp2M, SDEDPMpp3M])
def test_the_noise_has_its_variance(kind, eta):
    """sigma_s^2 (1 - e^{-2 eta^2 h}), with sigma_s, not sigma_t."""
    schedule, x = VP(), torch.zeros(1, 1, dtype=f64)
    model, t, s = Exact(Mixture(T([1.0]), T([[0.0]]), 0.3), schedule), T(0.6), T(0.4)
    loud, _ = kind(eta).step(model, x, t, s, None, Recorded([x + 1]))
    h, sigma = half(schedule, s) - half(schedule, t), schedule(s)[1]
    want = sigma * (1 - torch.exp(-2 * eta**2 * h)).sqrt()
    torch.testing.assert_close(loud.squeeze(), want, rtol=1e-12, atol=0)


@pytest.mark.parametrize("solver", [SDEDPMpp2M(), SDEDPMpp3M(), SDEAdams()])
@pytest.mark.parametrize("t", [1.0, 0.6])
def test_the_first_step_is_ancestral(solver, t):
    x, z = torch.randn(3, 2, dtype=f64), torch.randn(3, 2, dtype=f64)
    steps = [
        s.step(Exact(MIXTURE, Linear()), x, T(t), T(0.5), None, Recorded([z]))[0]
        for s in (solver, DDIM(1.0))
    ]
    torch.testing.assert_close(*steps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("values", [2, 3])
def test_k_diffusion(values):
    """Its "2M SDE" (midpoint) and "3M SDE" recurrences on sigma, the latter with 2 phi_3."""
    n, eta, schedule = 12, 0.6, VE(80.0)
    grid = karras(n, schedule, sigma_min=0.05)
    sigmas = schedule(grid)[1]
    model = Exact(MIXTURE, schedule)
    start = 80 * torch.randn(4, 2, dtype=f64)
    draws, x = torch.randn(n, 4, 2, dtype=f64), start
    past, steps = [], []
    for i, (now, after) in enumerate(pairwise(sigmas)):
        x0 = model(x, grid[i]).x0
        if after == 0:
            x = x0
            break
        h = (now / after).log()
        h_eta = (1 + eta) * h
        if values == 2:
            x = after / now * (-h * eta).exp() * x + -torch.expm1(-h_eta) * x0
            if past:
                x = x + 0.5 * -torch.expm1(-h_eta) * h / steps[-1] * (x0 - past[-1])
        else:
            x = torch.exp(-h_eta) * x + -torch.expm1(-h_eta) * x0
            phi2 = torch.expm1(-h_eta) / h_eta + 1
            phi3 = phi2 / h_eta - 0.5
            if len(past) >= 2:
                r0, r1 = steps[-1] / h, steps[-2] / h
                d0, d1 = (x0 - past[-1]) / r0, (past[-1] - past[-2]) / r1
                d, dd = d0 + (d0 - d1) * r0 / (r0 + r1), (d0 - d1) / (r0 + r1)
                x = x + phi2 * d - 2 * phi3 * dd
            elif past:
                x = x + phi2 * (x0 - past[-1]) / (steps[-1] / h)
        x = x + draws[i] * after * (-torch.expm1(-2 * h * eta)).sqrt()
        past, steps = [*past, x0], [*steps, h]
    ours = sample(
        model, start, grid, make_solver(f"sde-dpmpp-{values}m:eta={eta**0.5}"), Recorded(draws)
    )
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("spec", "order"), [("sde-dpmpp-2m:eta=0", 2), ("sde-dpmpp-3m:eta=0", 3)])
def test_order_without_noise(spec, order):
    schedule = Linear()
    reference = NORMAL.flow(noise_and_data(NORMAL, schedule), schedule(T(1.0)), schedule(T(0.0)))
    solver = make_solver(spec)
    assert not solver.stochastic
    error = end_to_end_error(NORMAL, schedule, solver, reference)
    assert observed_order(error, 192) == pytest.approx(order, abs=0.2)


def variance_error(solver, grid, schedule, variance=0.3):
    """Relative error of the variance at the end of `grid`, from the exact marginal at its start."""
    (a, s), (a_end, s_end) = schedule(grid[0]), schedule(grid[-1])
    model = Exact(Mixture(T([1.0]), T([[0.7]]), variance), schedule)
    _, got = push(model, grid, solver, a * 0.7, a**2 * variance + s**2)
    return abs(float(got / (a_end**2 * variance + s_end**2)) - 1)


@pytest.mark.parametrize("solver", [SDEDPMpp2M(0.5), SDEDPMpp2M(1.5), SDEAdams()])
@pytest.mark.parametrize("schedule", [VP(), Linear(), VE()])
def test_weak_order(solver, schedule):
    def error(n):
        return variance_error(solver, interior(schedule, n), schedule)

    assert observed_order(error, 64) == pytest.approx(2, abs=0.12)


@pytest.mark.parametrize("grid", [angular, smooth])
def test_adams_keeps_its_weak_order_from_pure_noise_to_clean_data(grid):
    def error(n):
        return variance_error(SDEAdams(), grid(n, Linear()), Linear())

    assert observed_order(error, 48) == pytest.approx(2, abs=0.12)


@pytest.mark.parametrize("variance", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("n", [24, 48])
def test_adams_is_the_most_accurate_of_second_order(n, variance):
    """As its documentation says: at most 0.35 of the error of SDE-DPM-Solver++(2M)."""
    ours, theirs = (
        variance_error(s, angular(n, VP()), VP(), variance) for s in (SDEAdams(), SDEDPMpp2M())
    )
    assert 0.12 < ours / theirs < 0.35


def test_the_conditional_mean_has_its_order():
    """E[x_s | x_t] for eta = 1/2 on Gaussian data: its slope is e^{int of the drift}."""
    schedule, variance, eta = VP(), 0.3, 0.5
    model = Exact(Mixture(T([1.0]), T([[0.0]]), variance), schedule)

    def error(solver, n):
        grid = smooth(n, schedule, 0.6)[: n // 2 + 1]
        (a, s), (a_end, s_end) = schedule(grid[0]), schedule(grid[-1])
        before, after = a**2 * variance + s**2, a_end**2 * variance + s_end**2
        flow, reverse = (after / before).sqrt(), a / a_end * after / before
        mean, _ = push(model, grid, solver, T(1.0), T(0.0))
        return abs(float(mean - flow * (reverse / flow) ** eta**2))

    for solver, order in ((SDEDPMpp2M(eta), 2), (SDEDPMpp3M(eta), 3)):
        got = observed_order(lambda n, solver=solver: error(solver, n), 192)
        assert got == pytest.approx(order, abs=0.2)


def test_refuses_a_negative_eta():
    for kind in (SDEDPMpp2M, SDEDPMpp3M):
        with pytest.raises(ValueError, match="eta"):
            kind(-0.1)
