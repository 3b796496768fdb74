"""Churn and restart: what goes up and comes down again."""

import math
from itertools import pairwise

import pytest
import torch

from demist.core import VE, VP, Linear
from demist.core.exact import Exact, Mixture
from demist.samplers import Heun, karras, make_solver, sample, smooth, trajectory, uniform
from demist.samplers.restart import restart
from demist.samplers.solvers.churn import Churn
from truth import MIXTURE, Recorded, T, f64, interior, observed_order, push


@pytest.mark.parametrize("s_noise", [1.0, 1.003])
def test_algorithm_2_of_karras_et_al(s_noise):
    n, s_churn, s_min, s_max = 18, 10.0, 0.05, 50.0
    schedule = VE(80.0)
    model, grid = Exact(MIXTURE, schedule), karras(n, schedule)
    sigmas = schedule(grid)[1]
    start = 80 * torch.randn(8, 2, dtype=f64)
    draws, used, x = torch.randn(n, 8, 2, dtype=f64), [], start
    for i, (now, after) in enumerate(pairwise(sigmas)):
        gamma = min(s_churn / n, math.sqrt(2) - 1) if s_min <= now <= s_max else 0.0
        hat = now + gamma * now
        if gamma > 0:
            x = x + (hat**2 - now**2).sqrt() * s_noise * draws[i]
            used.append(draws[i])
        d = (x - model(x, hat / 80).x0) / hat
        y = x + (after - hat) * d
        if after > 0:
            e = (y - model(y, after / 80).x0) / after
            y = x + (after - hat) * (d + e) / 2
        x = y
    assert 0 < len(used) < n
    solver = Churn(math.inf, min(s_churn / n, math.sqrt(2) - 1), s_min, s_max, s_noise)
    ours = sample(model, start, grid, solver, Recorded(used))
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)


def climbs(solver, schedule, grid):
    """Noise levels sigma / alpha, before each step and where the model is first asked in it."""
    asked = []

    class Spy:
        def __init__(self):
            self.schedule = schedule

        def __call__(self, x, t, **cond):
            asked.append(t)
            return Exact(MIXTURE, schedule)(x, t)

    first = []
    for _ in trajectory(Spy(), torch.randn(2, 2, dtype=f64), grid, solver):
        first.append(asked[0])
        asked.clear()
    alpha, sigma = schedule(torch.stack([grid[:-1], torch.stack(first)]))
    return (sigma / alpha).unbind()


def test_climbs_a_share_of_each_step_up_to_a_limit():
    schedule = VP()
    grid = T([0.8, 0.7, 0.69, 0.5, 0.0])
    r, hat = climbs(Churn(churn=0.5, gamma=0.3), schedule, grid)
    want = (0.5 * (r[:-1] / r[1:] - 1)).clamp(max=0.3)
    torch.testing.assert_close(hat[:-1] / r[:-1] - 1, want, rtol=1e-9, atol=1e-9)
    assert float(hat[-1] / r[-1]) == pytest.approx(1.3)  # the last step has no length: the limit
    assert want.max() == 0.3
    assert want.min() < 0.3


def test_climbs_within_its_levels_only_and_never_above_t_1():
    r, hat = climbs(Churn(s_min=0.5, s_max=2.0), VP(), interior(VP(), 20))
    inside = (r >= 0.5) & (r <= 2.0)
    assert 0 < inside.sum() < 20
    assert (hat[inside] > r[inside]).all()
    assert torch.equal(hat[~inside], r[~inside])
    for schedule in (VP(), Linear(), VE()):  # pure noise, or all the noise there is
        r, hat = climbs(Churn(churn=10.0), schedule, uniform(5))
        assert (hat <= float(schedule(T(1.0))[1] / schedule(T(1.0))[0])).all()


def test_without_churn_it_is_heun():
    model, x = Exact(MIXTURE, Linear()), torch.randn(4, 2, dtype=f64)
    quiet = sample(model, x, uniform(6), Churn(churn=0.0), Recorded([]))
    assert torch.equal(quiet, sample(model, x, uniform(6), Heun()))


def test_refuses_negative_numbers():
    with pytest.raises(ValueError, match="s_noise must be at least 0, got -1"):
        Churn(s_noise=-1.0)
    assert make_solver("churn:churn=inf,gamma=0.1") == Churn(math.inf, 0.1)


def test_restart_inserts_its_walks():
    grid = T([1.0, 0.8, 0.6, 0.4, 0.2, 0.0])
    walk = [0.8, 0.6, 0.4, 0.3]
    want = [1.0, *walk, *walk, *walk, 0.2, 0.0]
    torch.testing.assert_close(restart(grid, low=0.3, high=0.8, repeats=2), T(want))
    want = [1.0, 0.8, 0.7, 0.6, 0.4, 0.7, 0.6, 0.4, 0.2, 0.0]
    torch.testing.assert_close(restart(grid, low=0.4, high=0.7), T(want))
    torch.testing.assert_close(restart(grid, low=0.4, high=0.8, repeats=0), grid)


def test_restart_of_xu_et_al():
    """One jump from t_min to t_max: add noise of variance t_max^2 - t_min^2, walk down again."""
    schedule = VE(80.0)
    model, grid = Exact(MIXTURE, schedule), T([0.02, 0.01, 0.004, 0.001, 0.0])
    x, z = 1.6 * torch.randn(4, 2, dtype=f64), torch.randn(4, 2, dtype=f64)
    ours = sample(model, x, restart(grid, low=0.001, high=0.01), Heun(), Recorded([z]))
    y = sample(model, x, grid[:4], Heun())
    y = y + math.sqrt(0.8**2 - 0.08**2) * z
    torch.testing.assert_close(ours, sample(model, y, grid[1:], Heun()), rtol=1e-9, atol=1e-9)


def test_restart_keeps_the_order_of_the_solver():
    schedule, variance = Linear(), 0.3
    model = Exact(Mixture(T([1.0]), T([[0.7]]), variance), schedule)

    def error(n):
        grid = restart(smooth(n, schedule), low=0.2, high=0.6, repeats=2)
        return abs(float(push(model, grid, Heun(), T(0.0), T(1.0))[1]) - variance)

    assert observed_order(error, 48) == pytest.approx(2, abs=0.2)


def test_restart_forgets_errors():
    """Started from a wrong law, the second walk down ends nearer to the right one."""
    schedule, variance = Linear(), 0.3
    model, grid = Exact(Mixture(T([1.0]), T([[0.7]]), variance), schedule), smooth(100, Linear())
    errors = [
        abs(float(push(model, g, Heun(), T(0.0), T(1.5))[1]) - variance)
        for g in (grid, restart(grid, 0.2, 0.8, 1), restart(grid, 0.2, 0.8, 3))
    ]
    assert errors[1] < 0.25 * errors[0]
    assert errors[2] < 0.25 * errors[1]


@pytest.mark.parametrize(
    ("grid", "low", "high", "repeats", "message"),
    [
        ([1.0, 0.5, 0.0], 0.6, 0.6, 1, "low < high"),
        ([1.0, 0.5, 0.0], 0.0, 0.6, 1, "low < high"),
        ([0.8, 0.5, 0.0], 0.2, 0.9, 1, "low < high"),
        ([1.0, 0.5, 0.7, 0.0], 0.2, 0.9, 1, "decreasing"),
        ([1.0, 0.5, 0.0], 0.2, 0.9, -1, "at least 0"),
    ],
)
def test_restart_refuses(grid, low, high, repeats, message):
    with pytest.raises(ValueError, match=message):
        restart(T(grid), low, high, repeats)
