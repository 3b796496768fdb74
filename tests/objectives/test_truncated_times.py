"""A truncated distribution of times is the whole one within a range, normalised, and nothing else.

Expected are integrals of densities written here in full, which know nothing of quantiles.
"""

import math

import numpy as np
import pytest
import torch

from demist.core import VE, VP, Linear
from demist.errors import UsageError
from demist.objectives import TIMES, LogitNormal, LogNormal, Uniform

U = torch.linspace(0, 1, 20_003, dtype=torch.float64)[1:-1]


def normal(x, mean, std):
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


DENSITIES = {
    "uniform": (Uniform, Linear(), {}, np.ones_like),
    "logit-normal": (
        LogitNormal, Linear(), {"mean": 0.5, "std": 1.2},
        lambda t: normal(np.log(t / (1 - t)), 0.5, 1.2) / (t * (1 - t)),
    ),
    "lognormal": (
        LogNormal, Linear(), {"mean": -0.4, "std": 1.1},
        lambda t: normal(np.log(t / (1 - t)), -0.4, 1.1) / (t * (1 - t)),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.2), (0.3, 1.0), (0.25, 0.6)])
@pytest.mark.parametrize("name", DENSITIES)
def test_the_density_is_the_whole_one_normalised_within_the_range(name, low, high):
    cls, schedule, options, density = DENSITIES[name]
    t = cls(**options, low=low, high=high)(U, schedule).numpy()
    assert low <= t.min()
    assert t.max() <= high
    grid = np.linspace(max(low, 1e-9), min(high, 1 - 1e-9), 400_001)
    steps = (density(grid)[1:] + density(grid)[:-1]) / 2 * np.diff(grid)
    part = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
    np.testing.assert_allclose(np.interp(t, grid, part), U.numpy(), atol=2e-6)


def test_drawn_times_have_the_moments_of_the_truncated_law():
    u = torch.rand(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    t = LogitNormal(0.5, 1.2, high=0.3)(u, Linear()).numpy()
    grid = np.linspace(1e-9, 0.3, 400_001)
    density = DENSITIES["logit-normal"][3](grid)
    whole = np.trapezoid(density, grid)
    for power in (1, 2):
        want = np.trapezoid(density * grid**power, grid) / whole
        error = 4 * (t**power).std() / math.sqrt(len(t))
        assert abs((t**power).mean() - want) < error
    assert abs(t.mean() - 0.3 * u.numpy().mean()) > 0.02  # and not those of the whole, squeezed


@pytest.mark.parametrize("times", [Uniform(), LogNormal(-1, 1.4), LogitNormal(0.5, 0.8)], ids=str)
def test_the_whole_range_changes_no_bit(times):
    assert torch.equal(times(U, Linear()), times.quantile(U, Linear()))


def test_a_schedule_that_ends_early_keeps_its_lump_at_one():
    """Levels beyond the end of VE's are t = 1: they belong to a range that ends there."""
    whole, part = LogNormal(3.0, 2.0), LogNormal(3.0, 2.0, low=0.5)
    end = VE()
    lump = float((whole(U, end) == 1).double().mean())
    assert lump > 0.2
    kept = float(1 - whole.probability(torch.tensor(0.5, dtype=torch.float64), end))
    assert float((part(U, end) == 1).double().mean()) == pytest.approx(lump / kept, abs=1e-3)


def test_ranges_are_written_and_checked():
    made = TIMES.make("logit-normal:mean=0.5,high=0.3")
    assert made == LogitNormal(0.5, high=0.3)
    assert TIMES.write(made) == "logit-normal:mean=0.5,high=0.3"
    for low, high in ((0.3, 0.3), (0.5, 0.2), (-0.1, 0.5), (0.5, 1.5), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="give a range of times within 0"):
            Uniform(low=low, high=high)
    with pytest.raises(UsageError, match="less than 1e-06 of this distribution lies between"):
        LogitNormal(8.0, 0.5, high=0.1)(U, VP())
