"""The solver that is taken where nobody chooses."""

import pytest
import torch

from demist.core import Gaussian, Linear
from demist.core.exact import Exact, Mixture
from demist.data import load
from demist.errors import UsageError
from demist.samplers import (
    Adams,
    Bayes,
    angular,
    make_grid,
    make_solver,
    sample,
    settled,
    trajectory,
    usual,
    usual_shift,
)
from truth import MIXTURE, end_to_end_error, f64, noise_and_data, observed_order, rms


def test_the_rule_goes_by_the_shape_and_gives_way_to_a_name():
    assert usual((2,)) == usual((64,)) == ("bayes", Bayes.grid)
    assert usual((100,)) == ("bayes", f"{Bayes.grid},shift=1.25")
    assert usual((257,)) == usual((16, 16)) == usual((1, 8, 8)) == ("adams:p=2,last=1", "angular")
    assert usual((1, 28, 28)) == usual((784,)) == ("adams:p=2,last=1", "angular:shift=1.75")
    # On a grid that somebody chose it goes by the number of steps.
    assert [settled("auto", n) for n in (1, 5, 10)] == ["adams:p=2,last=1"] * 3
    assert [settled("auto", n) for n in (11, 50)] == ["adams"] * 2
    assert settled("ddim:eta=1", 5) == "ddim:eta=1"


def test_noise_levels_are_shifted_by_the_root_of_the_ratio():
    images = [(1, side, side) for side in (1, 16, 28, 32, 64, 128)]
    assert [usual_shift(shape) for shape in images] == [1, 1, 1.75, 2, 2.5, 2.5]
    assert [usual_shift((n,)) for n in (2, 64, 100, 144, 256)] == [1, 1, 1.25, 1.5, 1.5]
    assert usual_shift((784,)) == 1.75


def test_shifted_steps_are_nearer_to_the_flow_where_states_are_large():
    """A kernel density of digits, 28 x 28: which one it will be is decided in strong noise."""
    every = torch.tensor(load("digits").x).flatten(1).to(f64) / 127.5 - 1
    g = torch.Generator().manual_seed(3)
    means = every[torch.randperm(len(every), generator=g)[:100]]
    model = Exact(Mixture(torch.ones(100, dtype=f64), means, 0.05), Linear())
    x = torch.randn((24, 784), generator=g, dtype=f64)
    exact = sample(model, x, make_grid("angular:shift=1.75", 150, Linear()), Adams())
    for n in (5, 10, 20):
        times = [make_grid(f"angular:shift={s}", n, Linear()) for s in (1, usual_shift((784,)))]
        before, after = (rms(sample(model, x, t, Adams(p=2, last=1)) - exact) for t in times)
        assert after < 0.9 * before, (n, before, after)


def test_the_last_step_lands_on_the_prediction_moved_by_the_correction_alone():
    """z - tau v with v = eps - x0, where z is the state after the corrector."""
    model, x = Exact(MIXTURE, Linear()), noise_and_data(MIXTURE, Linear())
    solver, grid = Adams(last=1), torch.tensor([1.0, 0.7, 0.4, 0.2, 0.0], dtype=f64)
    before = list(trajectory(model, x, grid, solver))[-2]
    p = model(before.x, before.t)
    _, (corrected, scale, _, _) = solver.step(
        model, before.x, before.t, grid[-1], before.memory, Gaussian()
    )
    wanted = p.x0 + corrected - before.x / scale
    end = sample(model, x, grid, solver)
    torch.testing.assert_close(end, wanted, rtol=1e-12, atol=1e-12)
    # The predictor as it is elsewhere goes somewhere else.
    assert rms(sample(model, x, grid, Adams()) - end) > 1e-3


@pytest.mark.parametrize(("p", "order"), [(2, 3.0), (3, 3.5)])
def test_a_short_last_step_keeps_the_order(p, order):
    model = Exact(MIXTURE, Linear())
    x = noise_and_data(MIXTURE, Linear())
    fine = sample(model, x, angular(1500, Linear()), Adams())
    solver = Adams(p, last=1)
    error = end_to_end_error(MIXTURE, Linear(), solver, fine, angular)
    assert observed_order(error, 192) == pytest.approx(order, abs=0.25)
    assert solver.order == 3


@pytest.mark.parametrize("spec", ["adams:last=0", "adams:last=4", "adams:p=4"])
def test_values_out_of_range_are_refused(spec):
    with pytest.raises(UsageError, match="must be 1, 2 or 3"):
        make_solver(spec)
