"""The circle: unit-normal data stands still on it."""

import pytest
import torch

from demist.core import Linear
from demist.core.exact import Exact, Mixture
from demist.samplers import Trig, sample, uniform
from truth import SCHEDULES, T, f64, interior


@pytest.mark.parametrize("name", ["linear", "vp", "cosine", "ve"])
@pytest.mark.parametrize("p", [1, 2])
def test_exact_for_unit_normal_data_in_two_steps_or_more(name, p):
    schedule = SCHEDULES[name]
    model = Exact(Mixture(T([1.0]), T([[0.0, 0.0]]), 1.0), schedule)
    x = torch.randn(8, 2, dtype=f64)
    for n in (2, 3, 7):
        grid = interior(schedule, n)
        (a, g), (a_end, g_end) = schedule(grid[0]), schedule(grid[-1])
        expected = x * torch.hypot(a_end, g_end) / torch.hypot(a, g)
        torch.testing.assert_close(sample(model, x, grid, Trig(p)), expected)


def test_unlike_adams_on_the_straight_path():
    model = Exact(Mixture(T([1.0]), T([[0.0, 0.0]]), 1.0), Linear())
    x = torch.randn(8, 2, dtype=f64)
    assert (sample(model, x, uniform(3)) - x).abs().max() > 1e-2


def test_order_is_checked():
    with pytest.raises(ValueError, match="1 or 2, got 3"):
        Trig(p=3)
