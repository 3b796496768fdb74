import math

import pytest
import torch

from demist.core import (
    VE,
    VP,
    Cosine,
    Linear,
    Schedule,
    Shifted,
    Table,
    ZeroTerminal,
    cosine_betas,
    linear_betas,
    rescale_to_zero_terminal,
    scaled_linear_betas,
    sigmoid_betas,
)
from truth import DDPM_TABLE, SCHEDULES, T, f64

INSIDE = torch.tensor([1e-4, 0.0123, 0.3017, 0.5003, 0.7771, 0.9876], dtype=f64)
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


@every_schedule
def test_ends(schedule):
    alpha, sigma = schedule(torch.tensor([0.0, 1.0], dtype=f64))
    assert alpha[0] == 1
    assert sigma[0] == 0
    assert sigma[1] > 0
    assert schedule.log_snr(T(0.0)) == math.inf


@every_schedule
def test_angle_increases(schedule):
    angle = schedule.angle(torch.linspace(0, 1, 997, dtype=f64))
    assert (angle.diff() > 0).all()


@every_schedule
def test_rates_are_the_derivatives_of_the_path(schedule):
    t, h = INSIDE[1:], 1e-7  # inside a table's intervals
    for rate, high, low in zip(schedule.rates(t), schedule(t + h), schedule(t - h), strict=True):
        torch.testing.assert_close(rate, (high - low) / (2 * h), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize(
    "schedule", [s for s in SCHEDULES.values() if not isinstance(s, (Table, ZeroTerminal, Shifted))]
)
def test_rates_agree_with_automatic_differentiation(schedule):
    torch.testing.assert_close(schedule.rates(INSIDE), Schedule.rates(schedule, INSIDE))


@every_schedule
def test_inverses(schedule):
    torch.testing.assert_close(schedule.time_at_angle(schedule.angle(INSIDE)), INSIDE)
    torch.testing.assert_close(schedule.time_at(schedule.log_snr(INSIDE)), INSIDE)
    torch.testing.assert_close(
        Schedule.time_at_angle(schedule, schedule.angle(INSIDE)), INSIDE, rtol=1e-7, atol=0
    )


@every_schedule
def test_levels_out_of_reach_give_the_nearest_end(schedule):
    levels = torch.tensor([math.inf, 200.0, -200.0, -math.inf], dtype=f64)
    times = schedule.time_at(levels)
    torch.testing.assert_close(times, T([0.0, 0.0, 1.0, 1.0]), rtol=0, atol=1e-12)


@every_schedule
def test_any_shape_of_times(schedule):
    t = INSIDE.reshape(2, 3)
    for whole, single in zip(schedule(t), schedule(t[1, 2]), strict=True):
        assert whole.shape == t.shape
        assert single.shape == ()
        assert whole[1, 2] == single


def test_definitions_in_the_papers():
    t = T(0.4)
    alpha, sigma = VP()(t)  # Song et al. 2021, eq. 33
    integral = 0.1 * 0.4 + 19.9 * 0.16 / 2
    assert float(alpha) == pytest.approx(math.exp(-integral / 2))
    assert float(alpha**2 + sigma**2) == pytest.approx(1)
    d_alpha, d_sigma = VP().rates(t)  # drift -beta/2 and squared diffusion beta
    beta, drift = 0.1 + 19.9 * 0.4, d_alpha / alpha
    assert float(drift) == pytest.approx(-beta / 2)
    assert float(2 * sigma * d_sigma - 2 * drift * sigma**2) == pytest.approx(beta)
    assert [float(c) for c in Linear()(t)] == pytest.approx([0.6, 0.4])
    assert [float(c) for c in VE()(t)] == pytest.approx([1, 32])
    assert float(Cosine()(t)[0] ** 2) == pytest.approx(math.cos(math.pi * 0.2) ** 2)


def test_betas_of_the_literature():
    assert linear_betas()[[0, 999]].tolist() == pytest.approx([1e-4, 0.02])
    assert scaled_linear_betas()[[0, 999]].tolist() == pytest.approx([0.00085, 0.012])
    # Nichol & Dhariwal: alpha_bar(t) = f(t) / f(0), where no beta is clipped.
    bar = torch.cumprod(1 - cosine_betas(), 0)

    def f(u):
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    for i in (0, 499, 900):
        assert float(bar[i]) == pytest.approx(f((i + 1) / 1000) / f(0))
    assert cosine_betas().max() == 0.999
    assert sigmoid_betas()[[0, 999]].tolist() == pytest.approx(
        [1e-4 + 0.0199 / (1 + math.exp(6)), 1e-4 + 0.0199 / (1 + math.exp(-6))]
    )


def test_a_table_passes_through_its_knots():
    bar = torch.cumprod(1 - linear_betas(), 0)
    t = (torch.arange(1000, dtype=f64) + 1) / 1000
    alpha, sigma = DDPM_TABLE(t)
    torch.testing.assert_close(alpha**2, bar, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(sigma**2, 1 - bar, rtol=1e-10, atol=1e-15)


def test_shift_is_the_timestep_shift_of_flow_models():
    t = torch.linspace(0, 1, 11, dtype=f64)
    warped = 3 * t / (1 + 2 * t)  # Esser et al. 2024, eq. 23
    torch.testing.assert_close(Shifted(Linear(), 3.0)(t), Linear()(warped))


def test_shift_moves_the_log_snr():
    schedule = ZeroTerminal(VP())
    difference = schedule.log_snr(INSIDE) - Shifted(schedule, 2.0).log_snr(INSIDE)
    torch.testing.assert_close(difference, torch.full_like(INSIDE, 2 * math.log(2)))


def test_zero_terminal_is_the_published_rescaling():
    bar = rescale_to_zero_terminal(DDPM_TABLE.alpha_bar)
    assert bar[-1] == 0
    assert float(bar[0]) == pytest.approx(float(DDPM_TABLE.alpha_bar[0]))
    # The modifier keeps t = 0 instead of the first knot: equal to 1e-5.
    t = (torch.arange(1000, dtype=f64) + 1) / 1000
    torch.testing.assert_close(ZeroTerminal(DDPM_TABLE)(t)[0] ** 2, bar, rtol=0, atol=1e-5)


def test_clear_errors():
    with pytest.raises(ValueError, match=r"ends in pure noise, but alpha\(1\) is 0.00657"):
        Shifted(VP(), 2.0)
    with pytest.raises(ValueError, match="positive number, got -1"):
        Shifted(Linear(), -1.0)
    with pytest.raises(ValueError, match="variance-preserving"):
        ZeroTerminal(Linear())
    with pytest.raises(ValueError, match="decrease strictly"):
        Table(torch.tensor([0.5, 0.6]))
