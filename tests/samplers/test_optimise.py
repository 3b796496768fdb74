import pytest
import torch

from demist.core import Cosine, Linear
from demist.core.exact import Exact
from demist.errors import UsageError
from demist.samplers import DDIM, Adams, angular, make_grid, optimised, sample, smooth
from truth import MIXTURE, T, f64, noise_and_data, rms


@pytest.mark.parametrize(("solver", "gain"), [(DDIM(), 0.92), (Adams(), 0.9)], ids=str)
def test_a_fitted_grid_gains_on_starts_it_has_not_seen(solver, gain):
    schedule = Cosine()
    model, starts = Exact(MIXTURE, schedule), noise_and_data(MIXTURE, schedule, 192)
    seen, unseen = starts[:64], starts[64:]
    grid = optimised(5, model, seen, solver)
    assert (grid.diff() < 0).all()
    assert grid[[0, -1]].tolist() == [1.0, 0.0]
    truth = sample(model, unseen, smooth(800, schedule), Adams())

    def error(times):
        return rms(sample(model, unseen, times, solver) - truth)

    assert error(grid) < gain * error(angular(5, schedule))


def test_it_is_for_deterministic_solvers():
    with pytest.raises(ValueError, match="ddim draws noise"):
        optimised(3, Exact(MIXTURE, Linear()), torch.randn(4, 2, dtype=f64), DDIM(1.0))


def test_times_typed_on_the_command_line():
    assert torch.equal(make_grid("1,0.6,0.2,0", 20, Linear()), T([1.0, 0.6, 0.2, 0.0]))
    for typed, message in {
        "1,x,0": "not a list of numbers",
        "1,0.5": "exactly 0",
        "1,0.5,0.7,0": "must fall",
        "2,0": "at most 1",
    }.items():
        with pytest.raises(UsageError, match=message):
            make_grid(typed, 20, Linear())
