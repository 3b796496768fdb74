"""Every rule against what it must give on data whose answer is known."""

import math
from itertools import pairwise

import pytest
import torch

from demist.core import VP, Linear
from demist.core.exact import Exact, Mixture, Normal
from demist.guidance import (
    APG,
    CFG,
    Autoguidance,
    Clamp,
    Classifier,
    Compose,
    Instead,
    Interval,
    PlusPlus,
    Rescale,
    Reward,
    Threshold,
)
from demist.samplers import DDIM, Adams, Heun, angular, cosine, sample, smooth, uniform
from truth import MIXTURE, SCHEDULES, T, f64


class Routed:
    """A model that knows one distribution per value of `label`."""

    def __init__(self, schedule, **distributions):
        self.schedule = schedule
        self.models = {name: Exact(d, schedule) for name, d in distributions.items()}

    def __call__(self, x, t, label):
        return self.models[label](x, t)


def gaussian(mean, std):
    return Mixture(T([1.0]), T([[mean]]), std**2)


def saying(label):
    return Instead({"label": label})


def affine(model, schedule, grid, solver=Adams(), **cond):
    """Intercept and gain of a sampler that is an affine map of its start."""
    y = sample(model, T([[0.0], [1.0]]), grid, solver, **cond)[:, 0]
    return float(y[0]), float(y[1] - y[0])


def stds(schedule, std, t):
    a, s = schedule(t)
    return ((a * std) ** 2 + s**2).sqrt()


def mean_by_quadrature(schedule, parts, n=4001):
    """Where guided Gaussians carry 0, an integral: `parts` is (weight, mean, std) of each.

    dx/dt = sum_i w_i (alpha' m_i + r_i' / r_i (x - alpha m_i)) with r_i the std of x_t, so with
    G = prod r_i^w_i, x(0) = -int_0^1 G(0) / G(t) sum_i w_i (alpha' - alpha r_i' / r_i) m_i dt.
    """
    t = torch.linspace(0, 1, n, dtype=f64)
    (a, s), (da, ds) = schedule(t), schedule.rates(t)
    G, b = torch.ones_like(t), torch.zeros_like(t)
    for w, m, std in parts:
        r2 = (a * std) ** 2 + s**2
        G = G * r2 ** (w / 2)
        b = b + w * m * (da - a * (a * da * std**2 + s * ds) / r2)
    f = G[0] / G * b
    h = 1 / (n - 1)
    return -float((f[0] + f[-1] + 4 * f[1:-1:2].sum() + 2 * f[2:-1:2].sum()) * h / 3)


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0, 7.5])
def test_cfg_mean_and_standard_deviation(scale):
    model = Routed(Linear(), c=gaussian(0.8, 0.5), u=gaussian(-0.4, 1.2))
    mean, std = affine(CFG(model, scale, saying("u")), Linear(), smooth(400, Linear()), label="c")
    assert std == pytest.approx(0.5**scale * 1.2 ** (1 - scale), rel=1e-5)
    want = mean_by_quadrature(Linear(), [(scale, 0.8, 0.5), (1 - scale, -0.4, 1.2)])
    assert mean == pytest.approx(want, rel=5e-4, abs=1e-4)
    if scale == 1.0:
        assert want == pytest.approx(0.8, abs=1e-9)


def test_cfg_means_extrapolate_when_the_stds_agree():
    model = Routed(Linear(), c=gaussian(0.8, 0.6), u=gaussian(-0.4, 0.6))
    mean, _ = affine(CFG(model, 4.0, saying("u")), Linear(), smooth(200, Linear()), label="c")
    assert mean == pytest.approx(4 * 0.8 - 3 * -0.4, rel=1e-3)


def test_cfg_covariance_in_two_dimensions():
    """Shared axes: along each the stds multiply as in one dimension."""
    axes = torch.linalg.qr(torch.randn(2, 2, dtype=f64))[0]
    c, u = T([0.4, 0.9]), T([1.1, 0.7])
    normals = [Normal(T([0.0, 0.0]), axes @ torch.diag(s**2) @ axes.T) for s in (c, u)]
    model = Routed(Linear(), c=normals[0], u=normals[1])
    grid = smooth(400, Linear())
    jacobian = sample(
        CFG(model, 2.5, saying("u")), torch.eye(2, dtype=f64), grid, Heun(), label="c"
    )
    want = axes @ torch.diag(c**5 * u**-3) @ axes.T
    torch.testing.assert_close(jacobian.T @ jacobian, want, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "vp", "cosine"])
def test_interval(name):
    """Each stretch contributes the ratio of its own stds."""
    schedule, w, low, high = SCHEDULES[name], 3.0, T(0.25), T(0.7)
    model = Routed(schedule, c=gaussian(0.0, 0.5), u=gaussian(0.0, 1.2))
    guided = CFG(model, Interval(w, float(low), float(high)), saying("u"))
    _, gain = affine(guided, schedule, smooth(1500, schedule), label="c")

    def stretch(std, t, s):
        return float(stds(schedule, std, s) / stds(schedule, std, t))

    want = stretch(0.5, T(1.0), high) * stretch(0.5, low, T(0.0))
    want *= stretch(0.5, high, low) ** w * stretch(1.2, high, low) ** (1 - w)
    assert gain == pytest.approx(want, rel=4e-3)
    plain = stretch(0.5, T(1.0), T(0.0))
    assert abs(want / plain - 1) > 0.1  # the interval matters here


def test_interval_refuses_what_is_none():
    for low, high in ((0.8, 0.1), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.2)):
        with pytest.raises(ValueError, match="guidance interval"):
            Interval(2.0, low, high)


@pytest.mark.parametrize("name", ["linear", "vp", "ve"])
@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
def test_plus_plus_is_the_papers_algorithm(name, strength):
    schedule, grid = SCHEDULES[name], uniform(7)
    model = Routed(schedule, c=gaussian(0.8, 0.5), u=gaussian(-0.4, 1.2))
    x = torch.randn(5, 1, dtype=f64)
    want = x
    for t, s in pairwise(grid):
        c, u, (a, g) = model(want, t, "c"), model(want, t, "u"), schedule(s)
        want = a * (u.x0 + strength * (c.x0 - u.x0)) + g * u.eps
    guided = CFG(model, PlusPlus(strength, schedule, grid), saying("u"))
    got = sample(guided, x, grid, DDIM(), label="c")
    torch.testing.assert_close(got, want)


def test_plus_plus_needs_a_grid_that_goes_down():
    with pytest.raises(ValueError, match="only go down"):
        PlusPlus(0.5, Linear(), T([1.0, 0.5, 0.7, 0.0]))


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0])
def test_autoguidance(scale):
    good, weak = (Exact(gaussian(0.0, s), Linear()) for s in (0.7, 0.9))
    _, std = affine(Autoguidance(good, weak, scale), Linear(), smooth(300, Linear()))
    assert std == pytest.approx(0.7**scale * 0.9 ** (1 - scale), rel=5e-4)


def test_composed_stds_multiply():
    model = Routed(Linear(), a=gaussian(0.0, 0.5), b=gaussian(0.0, 0.8), u=gaussian(0.0, 1.0))
    guided = Compose(model, saying("u"), ((saying("b"), -0.5),), scale=2.0)
    _, std = affine(guided, Linear(), smooth(300, Linear()), label="a")
    assert std == pytest.approx(0.5**2 * 0.8**-0.5, rel=5e-4)


def test_composition_of_independent_facts_is_their_conjunction():
    def normal(*rows):
        mean, variance = zip(*rows, strict=True)
        return Normal(T(list(mean)), torch.diag(T(list(variance))))

    free = (0.0, 1.0)
    model = Routed(
        VP(),
        u=normal(free, free),
        left=normal((-1.0, 0.2), free),
        small=normal(free, (0.5, 0.1)),
        both=normal((-1.0, 0.2), (0.5, 0.1)),
    )
    x = torch.randn(6, 2, dtype=f64)
    guided = Compose(model, saying("u"), ((saying("small"), 1.0),))
    for t in (T(0.1), T(0.6), T(0.99)):
        p, want = guided(x, t, label="left"), model(x, t, "both")
        torch.testing.assert_close(p.x0, want.x0)
        torch.testing.assert_close(p.eps, want.eps)


@pytest.mark.parametrize("name", ["linear", "vp", "ve"])
def test_an_exact_classifier_gives_the_exact_posterior(name):
    """One component of a mixture is a class: its posterior is that component."""
    schedule = SCHEDULES[name]
    k = 1
    only = Mixture(T([1.0]), MIXTURE.means[k : k + 1], 0.15)

    def log_prob(x, t):
        a, s = schedule(t)
        return MIXTURE.weights[k].log() + only.log_prob(x, a, s) - MIXTURE.log_prob(x, a, s)

    x = torch.randn(8, 2, dtype=f64)
    for t in (T(0.05), T(0.5), T(0.95)):
        p = Classifier(Exact(MIXTURE, schedule), log_prob)(x, t)
        torch.testing.assert_close(p.x0, Exact(only, schedule)(x, t).x0)
        torch.testing.assert_close(p.eps, Exact(only, schedule)(x, t).eps)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_linear_reward_tilts_a_gaussian_exactly(scale):
    mean, cov = T([0.7, -0.3]), T([[0.5, 0.2], [0.2, 0.3]])
    direction = T([1.0, -2.0])
    tilted = Exact(Normal(mean + scale * cov @ direction, cov), VP())
    guided = Reward(Exact(Normal(mean, cov), VP()), lambda x0: x0 @ direction, scale)
    x = torch.randn(8, 2, dtype=f64)
    for t in (T(0.05), T(0.5), T(0.9)):
        torch.testing.assert_close(guided(x, t).x0, tilted(x, t).x0)
    grid = uniform(40)
    torch.testing.assert_close(sample(guided, x, grid), sample(tilted, x, grid))


def pictures():
    model = Routed(
        VP(),
        c=Normal(T([1.0, -1.0, 0.5]), torch.diag(T([0.2, 0.3, 0.4]))),
        u=Normal(T([0.0, 0.3, 0.0]), torch.diag(T([1.0, 0.8, 1.2]))),
    )
    return model, torch.randn(6, 3, dtype=f64), T(0.6)


def test_rescale_restores_the_contrast_of_the_conditional_prediction():
    model, x, t = pictures()
    c, full = model(x, t, "c"), CFG(model, 5.0, saying("u"))(x, t, label="c")

    def contrast(p):
        return p.x0.std(1, correction=0)

    whole = Rescale(model, 5.0, saying("u"), 1.0)(x, t, label="c")
    torch.testing.assert_close(contrast(whole), contrast(c))
    half = Rescale(model, 5.0, saying("u"), 0.5)(x, t, label="c")
    torch.testing.assert_close(contrast(half), (contrast(c) + contrast(full)) / 2)
    none = Rescale(model, 5.0, saying("u"), 0.0)(x, t, label="c")
    torch.testing.assert_close(none.x0, full.x0)


def test_apg_drops_the_parallel_part_and_limits_the_rest():
    model, x, t = pictures()
    c, u = model(x, t, "c").x0, model(x, t, "u").x0
    cfg = CFG(model, 4.0, saying("u"))(x, t, label="c")
    torch.testing.assert_close(APG(model, 4.0, saying("u"), 1.0)(x, t, label="c").x0, cfg.x0)
    p = APG(model, 4.0, saying("u"))(x, t, label="c")
    moved = p.x0 - c
    torch.testing.assert_close((moved * c).sum(1), torch.zeros(6, dtype=f64))
    kept = (cfg.x0 - c) - moved  # the rest is along c
    cosine = (kept * c).sum(1).abs() / (kept.norm(dim=1) * c.norm(dim=1))
    torch.testing.assert_close(cosine, torch.ones(6, dtype=f64))
    short = APG(model, 4.0, saying("u"), 1.0, radius=0.1)(x, t, label="c").x0 - c
    torch.testing.assert_close(short.norm(dim=1), torch.full((6,), 3 * 0.1 * math.sqrt(3)).to(c))
    assert ((c - u).norm(dim=1) > 0.1 * math.sqrt(3)).all()


def test_apg_is_no_guidance_where_there_is_only_one_direction():
    model = Routed(VP(), c=gaussian(0.8, 0.5), u=gaussian(-0.4, 1.2))
    x = torch.randn(5, 1, dtype=f64)
    p = APG(model, 6.0, saying("u"))(x, T(0.5), label="c")
    torch.testing.assert_close(p.x0, model(x, T(0.5), "c").x0)


def test_walls():
    model = Exact(Mixture(T([1.0]), T([[0.5, -3.0, 2.0, 0.1]]), 0.0), VP())
    x, t = torch.randn(2, 4, dtype=f64), T(0.5)
    clamped = Clamp(model)(x, t)
    torch.testing.assert_close(clamped.x0, T([[0.5, -1.0, 1.0, 0.1]]).expand(2, 4))
    pulled = Threshold(model, quantile=2 / 3)(x, t)  # of |x0| sorted: 0.1 0.5 2.0 3.0
    torch.testing.assert_close(pulled.x0, T([[0.25, -1.0, 1.0, 0.05]]).expand(2, 4))
    half = Threshold(model, quantile=2 / 3, bound=0.5)(x, t)
    torch.testing.assert_close(half.x0, T([[0.125, -0.5, 0.5, 0.025]]).expand(2, 4))
    inside = Threshold(model, quantile=0.0)(x, t)  # the quantile is within the bound
    torch.testing.assert_close(inside.x0, clamped.x0)


def test_instead_repeats_to_the_batch():
    negative = Instead({"text": torch.ones(1, 5), "flag": True})
    out = negative({"text": torch.zeros(3, 5), "label": 7})
    assert out["text"].shape == (3, 5)
    assert out["text"].sum() == 15
    assert out["flag"] is True
    assert out["label"] == 7


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("grid", [angular, cosine], ids=["angular", "cosine"])
def test_a_gradient_leads_from_the_first_step_on(name, grid):
    """r x on N(0, 1/4) leads to N(r / 4, 1/4); the image of 0 is the mean. Where the step out of
    pure noise is not led, the mean is off by 0.015, 0.008, 0.004 in 10, 20, 40 steps."""
    schedule, data = SCHEDULES[name], gaussian(0.0, 0.5)
    rewarded = Reward(Exact(data, schedule), lambda x0: 2.0 * x0[:, 0])

    def log_prob(x, t):
        """Of y = 1 seen with noise of variance 1: x_t ~ y is Gaussian for Gaussian data."""
        alpha, sigma = (c[..., None] if c.ndim else c for c in schedule(t))
        total = alpha**2 / 4 + sigma**2
        mean, variance = alpha / 4 / total * x, 0.25 - (alpha / 4) ** 2 / total + 1
        return (-0.5 * (1.0 - mean) ** 2 / variance)[:, 0]

    for model, mean in ((rewarded, 0.5), (Classifier(Exact(data, schedule), log_prob), 0.2)):
        for n in (10, 20):
            end = sample(model, torch.zeros(1, 1, dtype=f64), grid(n, schedule))
            assert float(end) == pytest.approx(mean, abs=3e-4)


@pytest.mark.parametrize("rule", [Classifier, Reward])
def test_a_gradient_at_many_times_some_of_them_pure_noise(rule):
    schedule, x = Linear(), torch.randn(3, 2, dtype=f64)
    leading = (lambda x, t: x.sum(1)) if rule is Classifier else (lambda x0: x0.sum(1))
    model = rule(Exact(MIXTURE, schedule), leading, 0.5)
    times = T([1.0, 0.4, 1.0])
    many = model(x, times)
    for i, t in enumerate(times):
        one = model(x[i : i + 1], t)
        torch.testing.assert_close(many.x0[i], one.x0[0])
        torch.testing.assert_close(many.eps[i], one.eps[0])
    torch.testing.assert_close(many.alpha * many.x0 + many.sigma * many.eps, x)
