"""Classifier-free guidance against closed forms."""

import pytest
import torch
from torch import nn

from demist.core import VE, VP, Cosine, Denoiser, Karras, Linear, V, Velocity
from demist.core.exact import Exact, Mixture
from demist.guidance import CFG
from demist.samplers import Heun, sample, smooth
from truth import T, f64


class Conditional:
    """A model with a Gaussian for the condition and one for its absence."""

    def __init__(self, schedule, with_, without):
        self.schedule = schedule
        self.models = {True: Exact(with_, schedule), False: Exact(without, schedule)}
        self.calls = 0

    def __call__(self, x, t, label):
        self.calls += 1
        return self.models[label](x, t)


def gaussian(mean, variance):
    return Mixture(T([1.0]), T([[mean]]), variance)


def null(cond):
    return {**cond, "label": False}


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [Linear(), VP(), Cosine(), VE()], ids=repr)
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_standard_deviation_of_guided_gaussians(schedule, scale):
    """The guided flow is linear: with mean 0 it ends with std s_c^w s_u^(1 - w)."""
    s_c, s_u = 0.6, 1.1
    model = Conditional(schedule, gaussian(0.0, s_c**2), gaussian(0.0, s_u**2))
    start = schedule(T(1.0))
    x = (start[0] ** 2 * (s_c**scale * s_u ** (1 - scale)) ** 2 + start[1] ** 2).sqrt()
    y = sample(CFG(model, scale, null), x.reshape(1, 1), smooth(400, schedule), Heun(), label=True)
    # Each guided velocity is w times one log-derivative of std plus (1 - w) times the other, so
    # a start at one standard deviation of the noise ends at the geometric mean of the two.
    a, s = start
    gain = [((v**2) / (a**2 * v**2 + s**2)).sqrt() for v in (s_c, s_u)]
    want = float(x) * float(gain[0] ** scale * gain[1] ** (1 - scale))
    assert float(y) == pytest.approx(want, rel=2e-4)
    if schedule == Linear():
        assert float(y) == pytest.approx(s_c**scale * s_u ** (1 - scale), rel=2e-4)


def test_scale_one_is_no_guidance_and_one_call():
    model = Conditional(Linear(), gaussian(1.0, 0.3), gaussian(0.0, 1.0))
    x = torch.randn(3, 1, dtype=f64)
    p = CFG(model, 1.0, null)(x, T(0.4), label=True)
    assert model.calls == 1
    assert torch.equal(p.x0, model(x, T(0.4), True).x0)


def test_scale_zero_ignores_the_condition():
    model = Conditional(Linear(), gaussian(1.0, 0.3), gaussian(0.0, 1.0))
    x = torch.randn(3, 1, dtype=f64)
    p = CFG(model, 0.0, null)(x, T(0.4), label=True)
    torch.testing.assert_close(p.x0, model(x, T(0.4), False).x0)


def test_without_a_condition_there_is_nothing_to_guide():
    model = Exact(gaussian(1.0, 0.3), Linear())
    x = torch.randn(3, 1, dtype=f64)
    assert torch.equal(CFG(model, 3.0, null)(x, T(0.4)).x0, model(x, T(0.4)).x0)


@pytest.mark.parametrize("parameterization", [V(), Velocity(), Karras(0.5)], ids=repr)
def test_commutes_with_the_parameterization_in_one_call(parameterization):
    """Guiding predictions is guiding raw outputs: w multiplies conditional minus unconditional."""
    weights = torch.randn(2, 2, 2, dtype=f64)
    calls = []

    class Net(nn.Module):
        def forward(self, x, t, label):
            calls.append(len(x))
            return torch.einsum("bij,bj->bi", weights[label], x)

    model, x, t = Denoiser(Net(), VP(), parameterization), torch.randn(4, 2, dtype=f64), T(0.6)
    zeros, ones = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    guided = CFG(model, 3.0, lambda cond: {"label": ones})(x, t, label=zeros)
    assert calls == [8]
    torch.testing.assert_close(guided.alpha * guided.x0 + guided.sigma * guided.eps, x)
    raw = x @ weights[1].T + 3.0 * (x @ weights[0].T - x @ weights[1].T)
    x0, eps = parameterization.invert(raw, x, guided.alpha, guided.sigma, lambda: VP().rates(t))
    torch.testing.assert_close(guided.x0, x0)
    torch.testing.assert_close(guided.eps, eps)
