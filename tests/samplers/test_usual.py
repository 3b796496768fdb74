"""The solver that is taken where nobody chooses."""

import pytest
import torch

from demist.core import Gaussian, Linear
from demist.core.exact import Exact
from demist.errors import UsageError
from demist.samplers import (
    Adams,
    angular,
    make_solver,
    sample,
    settled,
    trajectory,
    usual,
)
from truth import MIXTURE, end_to_end_error, f64, noise_and_data, observed_order, rms


def test_the_rule_goes_by_the_number_of_steps_and_gives_way_to_a_name():
    assert [usual(n) for n in (1, 5, 10)] == ["adams:p=2,last=1"] * 3
    assert [usual(n) for n in (11, 50)] == ["adams"] * 2
    assert settled("auto", 5) == usual(5)
    assert settled("ddim:eta=1", 5) == "ddim:eta=1"


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
