"""What every guidance rule must survive. They are found, not listed.

A rule is built from the names of its fields: what this file calls `model`, `null`, `weak` and so
on; other fields keep their defaults.
"""

import dataclasses

import pytest
import torch
from test_solvers import Parts
from torch import nn

from demist.core import VP, X0, Denoiser, Eps, Linear, Prediction, V, Velocity
from demist.guidance import CFG, RULES, Instead, Interval
from demist.samplers import sample, smooth
from truth import T, f64

ALL = {cls.__name__: cls for cls in RULES.classes}
every_rule = pytest.mark.parametrize("rule", ALL.values(), ids=ALL)
SCHEDULE = VP()


class Net(nn.Module):
    """A smooth network that tells its conditions apart, sample by sample."""

    def __init__(self, seed=0):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.table = torch.randn(4, 6, 6, generator=g, dtype=f64)

    def forward(self, x, t, label):
        y = torch.einsum("bij,bj->bi", self.table[label], x.flatten(1))
        return torch.tanh(y).reshape(x.shape)


def denoiser(seed=0, parameterization=X0()):
    return Denoiser(Net(seed), SCHEDULE, parameterization)


def null(cond):
    return {"label": torch.full_like(cond["label"], 3)}


def reward(x0):
    return -(x0 - 0.3).square().flatten(1).sum(1)


def words(model=None):
    return {
        "model": model or denoiser(),
        "null": null,
        "weak": denoiser(1),
        "scale": 3.0,
        "terms": ((Instead({"label": torch.tensor([2])}), 2.0),),
        "log_prob": lambda x, t, **cond: torch.sin(x).flatten(1).sum(1),
        "reward": reward,
    }


def build(rule, model=None, **changes):
    known = {f.name for f in dataclasses.fields(rule)}
    return rule(**{k: v for k, v in (words(model) | changes).items() if k in known})


@pytest.fixture
def x():
    return torch.randn(4, 2, 3, dtype=f64)


LABEL = torch.tensor([0, 1, 2, 0])


def same(p, q, **tolerance):
    torch.testing.assert_close(p.x0, q.x0, **tolerance)
    torch.testing.assert_close(p.eps, q.eps, **tolerance)


@every_rule
@pytest.mark.parametrize("t", [0.02, 0.5, 0.98])
def test_keeps_the_line_through_the_state(rule, x, t):
    p = build(rule)(x, T(t), label=LABEL)
    assert isinstance(p, Prediction)
    torch.testing.assert_close(p.alpha * p.x0 + p.sigma * p.eps, x)


@every_rule
def test_does_something_and_nothing_at_its_neutral_value(rule, x):
    plain = denoiser()(x, T(0.5), label=LABEL)
    p = build(rule)(3 * x, T(0.5), label=LABEL)
    assert not torch.allclose(p.x0, denoiser()(3 * x, T(0.5), label=LABEL).x0, atol=1e-4) or (
        rule.__name__ in ("Clamp", "Threshold")  # tanh is within their walls
    )
    q = build(rule, **rule.neutral)(x, T(0.5), label=LABEL)
    assert torch.equal(q.x0, plain.x0)
    assert torch.equal(q.eps, plain.eps)


@every_rule
def test_every_sample_by_itself(rule, x):
    guided = build(rule)
    whole = guided(x, T(0.5), label=LABEL)
    times = torch.tensor([0.2, 0.5, 0.5, 0.9], dtype=f64)
    mixed = guided(x, times, label=LABEL)
    for i in range(4):
        rows, label = slice(i, i + 1), LABEL[i : i + 1]
        alone = guided(x[rows], T(0.5), label=label)
        torch.testing.assert_close(alone.x0, whole.x0[rows])
        torch.testing.assert_close(alone.eps, whole.eps[rows])
        at_its_time = guided(x[rows], times[rows], label=label)
        torch.testing.assert_close(at_its_time.x0, mixed.x0[rows])


@every_rule
@pytest.mark.parametrize("parameterization", [Eps(), V(), Velocity()], ids=repr)
def test_commutes_with_the_parameterization(rule, x, parameterization):
    """The same belief, said in another way by the network, is guided in the same way."""

    class Said(nn.Module):
        def __init__(self, seed):
            super().__init__()
            self.inner = denoiser(seed)

        def forward(self, x, clock, label):
            t = T(0.5)
            p = self.inner(x, t, label=label)
            a, b = parameterization.row(p.alpha, p.sigma, lambda: SCHEDULE.rates(t))
            return a * p.x0 + b * p.eps

    model, weak = (Denoiser(Said(i), SCHEDULE, parameterization) for i in (0, 1))
    same(
        build(rule, model, weak=weak)(x, T(0.5), label=LABEL),
        build(rule)(x, T(0.5), label=LABEL),
    )


@every_rule
@pytest.mark.parametrize("other", ALL.values(), ids=ALL)
def test_composes(rule, other, x):
    """Any rule around any other: the line is kept, and a neutral rule changes nothing."""
    inner = build(other)
    p = build(rule, inner)(x, T(0.5), label=LABEL)
    torch.testing.assert_close(p.alpha * p.x0 + p.sigma * p.eps, x)
    same(build(rule, inner, **rule.neutral)(x, T(0.5), label=LABEL), inner(x, T(0.5), label=LABEL))


@every_rule
def test_scale_may_be_a_function_of_time(rule, x):
    if "scale" not in {f.name for f in dataclasses.fields(rule)}:
        pytest.skip("has no scale")
    neutral = rule.neutral["scale"]
    changing = build(rule, scale=lambda t: torch.where(t < 0.5, 3.0, neutral))
    rest = {k: v for k, v in rule.neutral.items() if k == "terms"}
    changing = dataclasses.replace(changing, **rest)
    for t in (0.3, 0.7):
        scale = 3.0 if t < 0.5 else neutral
        same(changing(x, T(t), label=LABEL), build(rule, scale=scale, **rest)(x, T(t), label=LABEL))
    t = torch.tensor([0.3, 0.7, 0.3, 0.7], dtype=f64)
    p = changing(x, t, label=LABEL)
    for i in range(4):
        one = changing(x[i : i + 1], t[i], label=LABEL[i : i + 1])
        torch.testing.assert_close(p.x0[i : i + 1], one.x0)


@every_rule
def test_samples_from_noise_to_data(rule, x):
    """Also from alpha = 0 exactly, where a score has no x0 to offer."""
    model = Denoiser(Net(), Linear(), V())
    guided = build(rule, model, weak=Denoiser(Net(1), Linear(), V()))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            y = sample(guided, x, smooth(8, Linear()), label=LABEL.clone())
        assert torch.isfinite(y).all()


@every_rule
def test_only_vector_space_operations_unless_it_says_otherwise(rule):
    if not rule.linear:
        pytest.skip("says that it measures its state")

    class One(nn.Module):
        def __init__(self, k):
            super().__init__()
            self.k = k

        def forward(self, x, t, label):
            gain = self.k + label[:, None]
            if isinstance(x, Parts):
                return Parts({key: torch.tanh(gain * v) for key, v in x.items()})
            return torch.tanh(gain * x)

    def guided():
        return build(rule, Denoiser(One(1), VP(), V()), weak=Denoiser(One(2), VP(), V()))

    a, b = torch.randn(2, 3, dtype=f64), torch.randn(2, 5, dtype=f64)
    label = torch.tensor([0, 0])
    one = guided()(torch.cat([a, b], 1), T(0.4), label=label)
    two = guided()(Parts(a=a, b=b), T(0.4), label=label)
    torch.testing.assert_close(one.x0, torch.cat([two.x0["a"], two.x0["b"]], 1))
    torch.testing.assert_close(one.eps, torch.cat([two.eps["a"], two.eps["b"]], 1))


def test_says_where_it_is_from():
    for rule in ALL.values():
        assert "References:" in rule.__doc__


def test_outside_its_interval_guidance_costs_nothing(x):
    calls = []

    class Counting(Net):
        def forward(self, x, t, label):
            calls.append(len(x))
            return super().forward(x, t, label)

    model = Denoiser(Counting(), SCHEDULE, X0())
    guided = CFG(model, Interval(4.0, 0.2, 0.6), null)
    for t in (0.9, 0.6, 0.4, 0.2, 0.1):
        guided(x, T(t), label=LABEL)
    assert calls == [4, 8, 8, 8, 4]
