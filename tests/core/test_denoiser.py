import math

import pytest
import torch
from torch import nn

from demist.core import (
    VE,
    X0,
    AngleClock,
    Conditioned,
    Cosine,
    Denoiser,
    Eps,
    IndexClock,
    Karras,
    Linear,
    LogSNRClock,
    Prediction,
    Score,
    TimeClock,
    V,
    Velocity,
    left,
    many,
)
from demist.core.exact import Exact
from truth import MIXTURE, SCHEDULES, T, f64

PARAMETERIZATIONS = {
    "x0": X0(),
    "eps": Eps(),
    "v": V(),
    "velocity": Velocity(),
    "score": Score(),
    "karras": Karras(0.5),
}


class Optimal(nn.Module):
    """The network that outputs the exact target of the mixture, in any parameterization."""

    def __init__(self, schedule, parameterization):
        super().__init__()
        self.exact, self.parameterization = Exact(MIXTURE, schedule), parameterization

    def forward(self, x, t):
        p = self.exact(x, t)
        schedule = self.exact.schedule
        return self.parameterization.target(
            p.x0, p.eps, p.alpha, p.sigma, lambda: tuple(left(c, x) for c in schedule.rates(t))
        )


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS.values(), ids=PARAMETERIZATIONS)
def test_every_parameterization_recovers_both_ends(schedule, parameterization):
    x, t = torch.randn(5, 2, dtype=f64), torch.linspace(0.05, 0.95, 5, dtype=f64)
    model = Denoiser(Optimal(schedule, parameterization), schedule, parameterization)
    model.clock = TimeClock()
    p, truth = model(x, t), Exact(MIXTURE, schedule)(x, t)
    torch.testing.assert_close(p.x0, truth.x0)
    torch.testing.assert_close(p.eps, truth.eps)
    torch.testing.assert_close(p.alpha * p.x0 + p.sigma * p.eps, x)


@pytest.mark.parametrize("parameterization", [V(), Velocity(), Karras(0.5), Karras(1.0)])
def test_regular_from_pure_noise_to_clean_data(parameterization):
    class Zero(nn.Module):
        def forward(self, x, t):
            return torch.ones_like(x)

    model, x = Denoiser(Zero(), Cosine(), parameterization), torch.randn(3, 2, dtype=f64)
    for t in (0.0, 1.0):
        p = model(x, T(t))
        assert torch.isfinite(p.x0).all()
        assert torch.isfinite(p.eps).all()


class Routed(nn.Module):
    """Answers what it is told, whatever it sees."""

    def __init__(self, answer):
        super().__init__()
        self.answer = nn.Parameter(torch.as_tensor(answer, dtype=f64))

    def forward(self, x, t):
        return self.answer.expand_as(x)


@pytest.mark.parametrize("parameterization", [V(), Velocity(), Karras(0.5), Karras(1.0)])
def test_a_bounded_prediction_stays_in_the_range_of_the_data(parameterization):
    x = torch.linspace(-1, 1, 6, dtype=f64).reshape(3, 2)
    free = Denoiser(Routed(1.5), Cosine(), parameterization).eval()
    model = Denoiser(Routed(1.5), Cosine(), parameterization, bounds=(-0.5, 0.7)).eval()
    for t in (0.2, 0.6, 1.0):
        p, q = model(5 * x, T(t)), free(5 * x, T(t))
        assert not torch.equal(p.x0, q.x0)
        assert torch.equal(p.x0, q.x0.clamp(-0.5, 0.7))
        torch.testing.assert_close(p.alpha * p.x0 + p.sigma * p.eps, 5 * x)
    model.bounds = (-1.0, 1.0)
    p = model(x, T(0.0))  # clean data is its own prediction
    assert torch.equal(p.x0, x)
    assert torch.isfinite(p.eps).all()


def test_training_may_overshoot_the_end_of_the_range_and_comes_back_from_there():
    """Its gradient is `clamp(x0_hat) - E[x0]`: zero at the posterior mean and only there.

    At t = 1 the state says nothing of the data, and x0_hat = x - answer.
    """
    x = torch.zeros(4, 1, dtype=f64)

    def slope(answer, data):
        model = Denoiser(Routed(answer), Linear(), Velocity(), bounds=(-1, 1))
        (model(x, T(1.0)).x0 - torch.tensor(data, dtype=f64)[:, None]).square().mean().backward()
        return float(model.net.answer.grad)

    black, grey = [-1.0, -1.0, -1.0, -1.0], [-1.0, -1.0, 1.0, 0.0]
    assert slope(1.0, black) == slope(1.7, black) == 0  # x0_hat is -1, and -1.7
    assert slope(0.25, grey) == 0
    assert slope(0.0, grey) == pytest.approx(-2 * 0.25)
    assert slope(3.0, grey) == pytest.approx(2 * 0.75)  # as far as from -1: not from -3, nor lost
    x = torch.zeros(4, 1, dtype=f64, requires_grad=True)
    sampling = Denoiser(Routed(3.0), Linear(), Velocity(), bounds=(-1, 1)).eval()
    sampling(x, T(0.5)).x0.sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))  # there the derivative is the true one


def test_a_singular_time_is_refused_with_the_remedy():
    model = Denoiser(nn.Module(), Linear(), Eps())
    model.net.forward = lambda x, t: x
    with pytest.raises(ValueError, match=r"alpha = 0, sigma = 1; start the grid a little below"):
        model(torch.zeros(2, 3), T(1.0))


def test_definitions_in_the_papers():
    x, out = torch.randn(3, dtype=f64), torch.randn(3, dtype=f64)

    def x0(parameterization, alpha, sigma, rates=None):
        return parameterization.invert(out, x, alpha, sigma, lambda: rates)[0]

    sigma, sd = T(0.7), 0.5  # Karras et al. 2022, table 1
    c_skip = sd**2 / (sigma**2 + sd**2)
    c_out = sigma * sd / (sigma**2 + sd**2).sqrt()
    torch.testing.assert_close(x0(Karras(sd), T(1.0), sigma), c_skip * x + c_out * out)
    alpha, sigma = T(0.6), T(0.8)
    torch.testing.assert_close(x0(V(), alpha, sigma), alpha * x - sigma * out)  # Salimans & Ho
    torch.testing.assert_close(x0(Eps(), alpha, sigma), (x - sigma * out) / alpha)  # Ho et al.
    torch.testing.assert_close(x0(X0(), alpha, sigma), out)
    torch.testing.assert_close(x0(Score(), alpha, sigma), (x + sigma**2 * out) / alpha)  # Tweedie
    rates = (T(-1.0), T(1.0))  # rectified flow: x - t v
    torch.testing.assert_close(x0(Velocity(), T(0.7), T(0.3), rates), x - 0.3 * out)


def test_input_scaling_gives_unit_variance():
    seen = {}

    class Spy(nn.Module):
        def forward(self, x, t):
            seen["std"] = x.std()
            return x

    model = Denoiser(Spy(), VE(), Karras(0.5), input_std=0.5)
    data = 0.5 * torch.randn(200_000, 1)
    for t in (0.001, 0.01, 0.5):
        model(data + 80 * t * torch.randn_like(data), T(t))
        assert float(seen["std"]) == pytest.approx(1, abs=0.01)


def test_times_broadcast_from_the_left():
    model = Exact(MIXTURE, Linear())
    x, t = torch.randn(3, 4, 2, dtype=f64), torch.rand(3, 4, dtype=f64) * 0.9 + 0.05
    whole = model(x, t).x0
    for b in range(3):
        for f in range(4):
            torch.testing.assert_close(whole[b, f], model(x[b, f], t[b, f]).x0)
    # The classic silent error: the batch has the length of the last axis.
    x, t = torch.randn(2, 2, dtype=f64), T([0.2, 0.7])
    torch.testing.assert_close(model(x, t).x0[1], model(x[1], t[1]).x0)


def test_a_time_that_does_not_match_is_refused():
    with pytest.raises(ValueError, match=r"\(4,\) does not match .* \(3, 4\)"):
        left(torch.zeros(4), torch.zeros(3, 4))


@pytest.mark.parametrize("t", [T(0.3), torch.full((4,), 0.3, dtype=f64)])
def test_what_the_network_is_told(t):
    told = {}

    class Spy(nn.Module):
        def forward(self, x, clock):
            told["clock"] = clock
            return x

    x = torch.zeros(4, 2)
    for clock, want in (
        (TimeClock(), 0.3),
        (AngleClock(), math.atan(0.3 / 0.7) / (math.pi / 4) - 1),
        (IndexClock(1000), 299.0),
        (LogSNRClock(), math.log(0.3 / 0.7) / 2),
    ):
        Denoiser(Spy(), Linear(), V(), clock=clock)(x, t)
        assert told["clock"].shape == (4,)
        assert told["clock"].tolist() == pytest.approx([want] * 4, rel=1e-6)
    assert AngleClock()(T([0.0, 1.0]), *Linear()(T([0.0, 1.0]))).tolist() == [-1, 1]
    assert LogSNRClock(20.0)(T([0.0, 1.0]), *Linear()(T([0.0, 1.0]))).tolist() == [-5, 5]


def test_half_precision_network_full_precision_state():
    net = nn.Linear(2, 2).bfloat16()

    class Net(nn.Module):
        def forward(self, x, t):
            assert x.dtype == torch.bfloat16
            return net(x)

    p = Denoiser(Net(), Linear(), V(), dtype=torch.bfloat16)(torch.randn(3, 2), T(0.5))
    assert p.x0.dtype == torch.float32


def test_learned_variance_is_read_as_a_fraction():
    class Net(nn.Module):
        def forward(self, x, t):
            return torch.cat([x, torch.full_like(x, -0.5)], 1)

    p = Denoiser(Net(), Linear(), V(), learn_variance=True)(torch.randn(3, 2, 4), T(0.5))
    assert p.x0.shape == (3, 2, 4)
    assert (p.spread == 0.25).all()


def test_prediction_keeps_its_invariant():
    x, t = torch.randn(4, 2, dtype=f64), T(0.6)
    p = Exact(MIXTURE, Cosine())(x, t)
    q = Prediction(p.x0 * 0, x / p.sigma, p.alpha, p.sigma)
    gradient = torch.randn_like(x)
    for changed in (
        p.lerp(q, 3.0),
        p.with_x0(p.x0.clamp(-0.1, 0.1)),
        p.add_score(gradient),
    ):
        torch.testing.assert_close(changed.alpha * changed.x0 + changed.sigma * changed.eps, x)
    torch.testing.assert_close(p.add_score(gradient).score, p.score + gradient)
    torch.testing.assert_close(p.with_x0(q.x0).eps, q.eps)


def test_score_is_the_gradient_of_the_density():
    x = torch.randn(6, 2, dtype=f64, requires_grad=True)
    for schedule in (Linear(), VE(), Cosine()):
        t = T(0.02) if schedule == VE() else T(0.4)
        density = MIXTURE.log_prob(x, *schedule(t)).sum()
        (gradient,) = torch.autograd.grad(density, x)
        torch.testing.assert_close(Exact(MIXTURE, schedule)(x, t).score, gradient)


def test_velocity_is_the_flow():
    """The velocity carries the exact Gaussian flow: its derivative in time, by differences."""
    from truth import NORMAL

    schedule, x, h = Cosine(), torch.randn(5, 2, dtype=f64), 1e-5
    t = T(0.35)
    ahead = NORMAL.flow(x, schedule(t), schedule(t + h))
    behind = NORMAL.flow(x, schedule(t), schedule(t - h))
    velocity = Exact(NORMAL, schedule)(x, t).velocity(schedule.rates(t))
    torch.testing.assert_close(velocity, (ahead - behind) / (2 * h), rtol=1e-8, atol=1e-8)


class Labelled(nn.Module):
    """A network whose output depends on a condition, and which counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x, t, label):
        self.calls += 1
        return torch.tanh(x + label[:, None] * t[:, None])


@pytest.mark.parametrize("t", [T(0.3), T([0.3, 0.5, 0.7])])
def test_many_is_one_call_with_the_same_result(t):
    net = Labelled()
    model = Denoiser(net, Linear(), V())
    x = torch.randn(3, 2)
    conds = [{"label": torch.tensor([1.0, 2.0, 3.0])}, {"label": torch.zeros(3)}]
    together = many(model, x, t, conds)
    assert net.calls == 1
    for cond, p in zip(conds, together, strict=True):
        q = model(x, t, **cond)
        torch.testing.assert_close(p.x0, q.x0)
        torch.testing.assert_close(p.alpha * p.x0 + p.sigma * p.eps, x)


def test_given_fills_in_conditions():
    model = Denoiser(Labelled(), Linear(), V())
    x, one, two = torch.randn(3, 2), torch.ones(3), 2 * torch.ones(3)
    given = Conditioned(model, {"label": one})
    torch.testing.assert_close(given(x, T(0.3)).x0, model(x, T(0.3), label=one).x0)
    torch.testing.assert_close(given(x, T(0.3), label=two).x0, model(x, T(0.3), label=two).x0)
