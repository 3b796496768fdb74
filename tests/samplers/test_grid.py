import math

import pytest
import torch

from demist.core import VE, Cosine, Linear, Table
from demist.errors import UsageError
from demist.samplers import (
    GRIDS,
    angular,
    beta,
    cosine,
    exponential,
    karras,
    leading,
    log_snr,
    make_grid,
    restart,
    shifted,
    smooth,
    trailing,
    uniform,
)
from demist.samplers.grids import between, too_short
from truth import SCHEDULES, T, f64


@pytest.mark.parametrize("name", GRIDS.names())
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_every_grid_decreases_to_zero(name, schedule):
    for n in (1, 2, 3, 20, 1000):
        grid = make_grid(name, n, schedule)
        assert grid.dtype == f64
        assert (grid.diff() < 0).all()
        assert grid[-1] == 0
        assert 2 <= len(grid) <= n + 1
        assert grid[0] <= 1


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("name", ["uniform", "angular", "smooth", "trailing"])
def test_these_begin_at_pure_noise(name, schedule):
    assert make_grid(name, 7, schedule)[0] == 1
    assert len(make_grid(name, 7, schedule)) == 8


@pytest.mark.parametrize("start", [1.0, 0.6])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_shift_multiplies_noise_levels_and_leaves_the_ends(schedule, start):
    """r becomes 2 r / (1 + r / R) below the first level R, which is 2 r where that is infinite."""
    plain, moved = (make_grid(f"angular{o}", 6, schedule, start) for o in ("", ":shift=2"))
    levels = [sigma / alpha for alpha, sigma in map(schedule, (plain[1:-1], moved[1:-1]))]
    alpha, sigma = schedule(plain[0])
    want = 2 * levels[0] / (1 + levels[0] * alpha / sigma)
    torch.testing.assert_close(levels[1], want, rtol=1e-6, atol=0)
    assert (moved[0], moved[-1]) == (start, 0)
    with pytest.raises(UsageError, match="shift = 0"):
        make_grid("angular:shift=0", 6, schedule)


def test_karras_levels():
    n, rho = 18, 7
    grid = karras(n, VE())
    u = torch.arange(n, dtype=f64) / (n - 1)  # Karras et al. 2022, eq. 5
    want = (80 ** (1 / rho) + u * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho
    torch.testing.assert_close(80 * grid[:-1], want, rtol=1e-11, atol=0)


def test_log_snr_is_even():
    levels = Linear().log_snr(log_snr(9, Linear(), -4, 4)[:-1])
    torch.testing.assert_close(levels, torch.linspace(-4, 4, 9, dtype=f64))


def test_smooth_shrinks_quadratically_at_both_ends():
    angle = Linear().angle(smooth(200, Linear())).flip(0)
    assert float(angle[2] / angle[1]) == pytest.approx(4, rel=1e-3)
    assert float((angle[-1] - angle[-3]) / (angle[-1] - angle[-2])) == pytest.approx(4, rel=1e-3)


def test_discrete_grids_visit_whole_steps():
    # Lin et al. 2023, table 2 (there 1-based): trailing 10 of 1000; leading as in DDIM's code.
    assert (trailing(10) * 1000).tolist() == list(range(1000, -1, -100))
    assert (leading(10) * 1000 - 1).round().tolist() == [*range(900, -1, -100), -1]
    assert torch.allclose(trailing(3), T([1.0, 0.667, 0.333, 0.0]))
    table = Table(torch.linspace(0.9, 0.1, 10, dtype=f64))
    bar = table(trailing(10, 10))[0][:-1] ** 2
    torch.testing.assert_close(bar.flip(0), table.alpha_bar)


def test_steps_beyond_the_last_are_left_out():
    """1000 steps from the second on: 999 of them are there."""
    grid = leading(1000, offset=1)
    assert (grid * 1000).round().tolist() == [*range(1000, 1, -1), 0]
    assert len(leading(10, 10, 3)) == 8


def test_times_that_differ_by_rounding_are_one():
    kept = between(T([1.0, 1 - 1e-13, 0.6, 0.3 + 1e-16, 0.3 - 1e-10, 0.1, 0.0]), 1.0)
    torch.testing.assert_close(kept, T([1.0, 0.6, 0.3, 0.1, 0.0]))
    grid = torch.tensor(0.3).double()  # from float32: 0.30000001192
    assert len(restart(torch.tensor([1.0, 0.6, float(grid), 0.0]), 0.3, 0.6)) == 6
    assert too_short(T([1.0, 0.5, 0.5 - 4e-10, 0.0])).tolist() == [False, True, False]
    assert not too_short(T([1.0, 0.5, 0.5 - 6e-10, 1e-12, 0.0])).any()  # relative to the time


def test_image_to_image_starts_below_one():
    assert uniform(4, start=0.6).tolist() == pytest.approx([0.6, 0.45, 0.3, 0.15, 0])
    assert smooth(4, Linear(), start=0.6)[0] == 0.6


def test_clear_errors():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        uniform(0)
    with pytest.raises(ValueError, match="at most the model's 10 steps, got 11"):
        trailing(11, 10)
    with pytest.raises(UsageError, match=r"no grid called 'karas'\. Did you mean 'karras'"):
        make_grid("karas", 5, Linear())


def test_beta_in_its_two_closed_forms():
    u = torch.linspace(1, 0, 9, dtype=f64)
    torch.testing.assert_close(beta(8, 1, 1), u)
    torch.testing.assert_close(beta(8, 0.5, 0.5), torch.sin(math.pi / 2 * u) ** 2)  # arcsine law
    with pytest.raises(ValueError, match="positive"):
        beta(8, 0, 1)


def test_shifting_multiplies_the_noise_to_signal_ratio():
    alpha, sigma = Linear()(uniform(7)[1:-1])
    new_alpha, new_sigma = Linear()(shifted(7, 3.0)[1:-1])
    torch.testing.assert_close(new_sigma / new_alpha, 3 * sigma / alpha)
    with pytest.raises(ValueError, match="shift"):
        shifted(7, 0)


def test_cosine_is_uniform_on_the_cosine_schedule():
    torch.testing.assert_close(cosine(7, Cosine()), uniform(7))


def test_exponential_is_geometric_between_its_ends():
    alpha, sigma = VE()(exponential(6, VE(), 0.01, 80.0)[:-1])
    ratio = (sigma / alpha).log().diff()
    torch.testing.assert_close((sigma / alpha)[[0, -1]], torch.tensor([80.0, 0.01], dtype=f64))
    torch.testing.assert_close(ratio, ratio.mean().expand(5))


def test_options_follow_a_grid_name():
    torch.testing.assert_close(make_grid("karras:rho=5", 6, VE()), karras(6, VE(), rho=5.0))
    torch.testing.assert_close(
        make_grid("angular:clean=2,noisy=1", 6, Linear()), angular(6, Linear(), clean=2, noisy=1)
    )
    with pytest.raises(UsageError, match="option of grid karras called 'ro'"):
        make_grid("karras:ro=5", 6, VE())
    with pytest.raises(UsageError, match="not a number"):
        make_grid("karras:rho=five", 6, VE())
