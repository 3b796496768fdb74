import pytest
import torch

from demist.core import Linear, Seeded
from demist.core.exact import Exact, Normal
from demist.errors import UsageError
from demist.samplers import (
    DDIM,
    SOLVERS,
    DPMpp2M,
    Heun,
    make_grid,
    make_solver,
    sample,
    trajectory,
    uniform,
)
from truth import MIXTURE, T, f64, noise_and_data

MODEL = Exact(MIXTURE, Linear())
X = noise_and_data(MIXTURE, Linear(), 8)
GRID = uniform(10)


def test_the_last_state_is_the_sample():
    states = list(trajectory(MODEL, X, GRID))
    assert [s.index for s in states] == list(range(1, 11))
    assert [float(s.t) for s in states] == GRID[1:].tolist()
    assert torch.equal(states[-1].x, sample(MODEL, X, GRID))


def test_going_up_draws_from_the_forward_process():
    x = torch.full((100_000, 1), 0.5, dtype=f64)
    from demist.core import Gaussian
    from demist.samplers import renoise

    y = renoise(MODEL, x, T(0.2), T(0.7), Gaussian(torch.Generator().manual_seed(0)))
    kept = 0.3 / 0.8  # q(x_s | x_t) = N(a_s/a_t x, s_s^2 - (a_s/a_t s_t)^2)
    assert float(y.mean()) == pytest.approx(kept * 0.5, abs=0.01)
    assert float(y.var()) == pytest.approx(0.49 - (kept * 0.2) ** 2, abs=0.01)


def test_time_travel_keeps_the_distribution():
    """On a grid that goes up and down again the samples are still those of the mixture."""
    x = noise_and_data(MIXTURE, Linear(), 20_000)
    down, up = uniform(40), T([0.5, 0.25])
    grid = torch.cat([down[:31], up[:1], down[down < 0.5]])
    y = sample(MODEL, x, grid, Heun(), Seeded(range(len(x))))
    want = MIXTURE.sample(200_000, torch.Generator().manual_seed(5))
    torch.testing.assert_close(y.mean(0), want.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(y.T.cov(), want.T.cov(), rtol=0, atol=0.02)


def test_constrain_projects_after_every_step():
    seen = []

    def constrain(x, s):
        seen.append(float(s))
        return x.clamp(-1, 1)

    y = sample(MODEL, X, GRID, constrain=constrain)
    assert seen == GRID[1:].tolist()
    assert y.abs().max() <= 1


def test_no_graph_unless_asked():
    x = X.clone().requires_grad_()
    assert not sample(MODEL, x, GRID).requires_grad
    *_, last = trajectory(MODEL, x, GRID, differentiable=True)
    assert last.x.requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (torch.tensor([1.0]), "at least 2 times"),
        (torch.tensor([1000.0, 0.0]), r"lie in \[0, 1\] .* 0 to 1000"),
        (torch.tensor([1.0, 0.5, 0.5, 0.0]), "same time twice"),
        (torch.tensor([float("nan"), 0.0]), r"lie in \[0, 1\]"),
    ],
)
def test_clear_errors(grid, message):
    with pytest.raises(ValueError, match=message):
        sample(MODEL, X, grid)


def test_solvers_by_name():
    assert {"ddim", "heun", "dpmpp-2m"} <= set(SOLVERS.names())
    assert make_solver("dpmpp-2m") == DPMpp2M()
    assert make_solver("ddim:eta=0.5") == DDIM(0.5)
    for spec, message in {
        "ddimm": "Did you mean 'ddim'",
        "ddim:etta=1": "no option of solver ddim called 'etta'. Did you mean 'eta'",
        "ddim:eta=x": "eta='x' is not a number",
        "ddim:eta=2": "between 0 .* got 2",
    }.items():
        with pytest.raises(UsageError, match=message):
            make_solver(spec)


@pytest.mark.parametrize("name", [n for n in SOLVERS.names() if not make_solver(n).stochastic])
def test_no_solver_takes_back_what_moved_the_state(name):
    """On a Gaussian of variance 1/4, a shift shrinks with the standard deviation of the state."""
    model, x = Exact(Normal(torch.zeros(1, dtype=f64), T([[0.25]])), Linear()), T([[0.3]])
    grid = make_grid("angular", 20, Linear())
    solver, middle = make_solver(name), grid[10]

    def end(shift):
        return sample(model, x, grid, solver, constrain=lambda y, s: y + shift * (s == middle))

    alpha, sigma = Linear()(middle)
    want = 0.2 * 0.5 / (0.25 * alpha**2 + sigma**2).sqrt()
    assert float(end(0.2) - end(0.0)) == pytest.approx(float(want), rel=0.15)
    # The same by hand: going on from a changed point.
    points = list(trajectory(model, x, grid, solver))
    *_, last = trajectory(model, points[9].x + 0.2, grid, solver, index=10, memory=points[9].memory)
    torch.testing.assert_close(last.x, end(0.2))
