"""The adaptive integrator against closed forms: accuracy, counts, errors."""

import math

import pytest
import torch

from demist.core import VE, VP, Denoiser, Linear, V
from demist.core.exact import Exact, Mixture
from demist.samplers.adaptive import dormand_prince, integrate
from truth import MIXTURE, NORMAL, SCHEDULES, T, f64, noise_and_data, rms


@pytest.mark.parametrize("name", ["linear", "vp", "cosine", "ve", "sigmoid", "table-zero-snr"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7, 1e-9])
def test_the_error_is_of_the_size_of_the_tolerance(name, tolerance):
    """From pure noise to clean data and back, against the flow of a Gaussian."""
    schedule = SCHEDULES[name]
    model, ends = Exact(NORMAL, schedule), (schedule(T(1.0)), schedule(T(0.0)))
    x = noise_and_data(NORMAL, schedule)
    down = integrate(model, x, rtol=tolerance, atol=tolerance)
    error = rms(down.x - NORMAL.flow(x, *ends))
    assert tolerance / 100 < error < tolerance
    up = integrate(model, down.x, 0.0, 1.0, rtol=tolerance, atol=tolerance)
    error = rms(up.x - NORMAL.flow(down.x, *ends[::-1])) / float(sum(ends[0]))
    assert tolerance / 200 < error < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("variance", [0.15, 0.001])
def test_the_error_on_mixtures(variance):
    """Also where the data is narrow, so that the flow turns sharply."""
    mixture = Mixture(MIXTURE.weights, MIXTURE.means, variance)
    model, x = Exact(mixture, VP()), noise_and_data(mixture, VP())
    reference = integrate(model, x, rtol=1e-11, atol=1e-11, max_steps=5000).x
    for tolerance in (1e-4, 1e-6, 1e-8):
        found = integrate(model, x, rtol=tolerance, atol=tolerance)
        assert rms(found.x - reference) < 10 * tolerance
        back = integrate(model, found.x, 0.0, 1.0, rtol=tolerance, atol=tolerance)
        assert rms(back.x - x) < 100 * tolerance  # expansion by up to 1 / std


def test_between_two_noisy_times():
    schedule = VP()
    x = torch.randn(16, 2, dtype=f64)
    found = integrate(Exact(NORMAL, schedule), x, 0.8, 0.3, rtol=1e-9, atol=1e-9)
    want = NORMAL.flow(x, schedule(T(0.8)), schedule(T(0.3)))
    torch.testing.assert_close(found.x, want, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("t", "s"), [(1.0, 0.0), (0.0, 1.0), (0.7, 0.02)])
def test_reports_what_it_did(t, s):
    mixture = Mixture(MIXTURE.weights, MIXTURE.means, 0.001)
    asked = []

    class Spy:
        schedule = Linear()

        def __call__(self, x, t, **cond):
            asked.append(float(t))
            assert cond == {"label": 3}
            return Exact(mixture, self.schedule)(x, t)

    x = torch.randn(4, 2, dtype=f64)
    found = integrate(Spy(), x, t, s, rtol=1e-5, atol=1e-5, keep=True, label=3)
    assert found.evaluations == len(asked)
    assert found.rejected > 0
    euler = min(t, s) == 0  # the stretch next to clean data takes no trial, and at most one call
    extra = 2 if t == 0 else 1
    assert found.evaluations == 6 * (found.accepted - euler + found.rejected) + extra
    assert min(t, s) <= min(asked) <= max(asked) <= max(t, s)
    assert min(asked) > 0
    assert len(found.times) == len(found.states) == found.accepted + 1
    assert float(found.times[0]) == t
    assert float(found.times[-1]) == s
    assert torch.equal(found.states[-1], found.x)
    torch.testing.assert_close(found.states[0], x, rtol=1e-12, atol=1e-12)
    assert (found.times.diff() * math.copysign(1, s - t) > 0).all()
    short = integrate(Spy(), x, t, s, rtol=1e-5, atol=1e-5, label=3)
    assert short.states == ()
    assert torch.equal(short.x, found.x)


def test_the_states_on_the_way_are_on_the_flow():
    schedule, x = VP(), noise_and_data(NORMAL, VP())
    found = integrate(Exact(NORMAL, schedule), x, rtol=1e-7, atol=1e-7, keep=True)
    for t, state in zip(found.times, found.states, strict=True):
        want = NORMAL.flow(x, schedule(T(1.0)), schedule(t))
        torch.testing.assert_close(state, want, rtol=0, atol=2e-7)


def test_a_tighter_tolerance_costs_the_fifth_root():
    """Fifth order: 10^5 times the accuracy for 10 times the steps."""
    model, x = Exact(NORMAL, Linear()), noise_and_data(NORMAL, Linear())
    few, many = (integrate(model, x, rtol=tol, atol=tol).accepted for tol in (1e-6, 1e-11))
    assert 6 < many / few < 11


def test_one_step_has_order_5():
    """On y' = y. The first step is a tenth of the way."""

    def local_error(h):
        y, slope = torch.ones(1, 1, dtype=f64), lambda time, y: y
        _, step, *_ = dormand_prince(slope, y, 0.0, 10 * h, rtol=1.0, atol=1.0)
        assert step.time == pytest.approx(h)
        assert step.evaluations == 7
        return abs(float(step.y) - math.exp(h))

    assert math.log2(local_error(0.2) / local_error(0.1)) == pytest.approx(6, abs=0.2)


def test_every_sample_meets_the_tolerance():
    """One demanding sample among many easy ones is not averaged away."""
    tight = Exact(Mixture(T([0.5, 0.5]), T([[1.0], [-1.0]]), 0.01), Linear())
    x = torch.cat([torch.full((200, 1), 1.5, dtype=f64), T([[0.01]])])
    found = integrate(tight, x, rtol=1e-5, atol=1e-5)
    alone = integrate(tight, x[-1:], rtol=1e-11, atol=1e-11, max_steps=5000)
    assert abs(float(found.x[-1] - alone.x)) < 1e-4


def test_single_precision():
    small = Mixture(MIXTURE.weights.float(), MIXTURE.means.float(), 0.15)
    x = noise_and_data(MIXTURE, Linear())
    reference = integrate(Exact(MIXTURE, Linear()), x, rtol=1e-10, atol=1e-10).x
    found = integrate(Exact(small, Linear()), x.float(), rtol=1e-5, atol=1e-5)
    assert found.x.dtype == torch.float32
    assert rms(found.x - reference) < 1e-4


def test_keeps_no_graph():
    net = torch.nn.Linear(2, 2).double()

    class Net(torch.nn.Module):
        def forward(self, x, t):
            return net(x)

    found = integrate(Denoiser(Net(), VE(), V()), torch.randn(2, 2, dtype=f64))
    assert not found.x.requires_grad


def test_refuses_and_gives_up_in_words():
    model, x = Exact(MIXTURE, Linear()), torch.randn(2, 2, dtype=f64)
    with pytest.raises(ValueError, match="two different times"):
        integrate(model, x, 0.5, 0.5)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        integrate(model, x, 1.5, 0.0)
    with pytest.raises(ValueError, match="double precision"):
        integrate(model, x.float(), rtol=1e-8)
    with pytest.raises(ValueError, match="rtol"):
        integrate(model, x, rtol=0.0)
    with pytest.raises(RuntimeError, match="3 steps led from 1 only to"):
        integrate(model, x, rtol=1e-8, atol=1e-8, max_steps=3)

    class Broken:
        schedule = Linear()

        def __call__(self, x, t, **cond):
            return model(x * (math.nan if t < 0.5 else 1), t)

    with pytest.raises(RuntimeError, match="not finite"):
        integrate(Broken(), x)


def test_an_empty_batch_stays_empty():
    dim = NORMAL.mean.shape[-1]
    found = integrate(Exact(NORMAL, Linear()), torch.empty(0, dim, dtype=torch.float64))
    assert found.x.shape == (0, dim)
