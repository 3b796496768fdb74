import math

import pytest
import torch
from torch import nn

from demist.core import (
    VE,
    VP,
    X0,
    AngleClock,
    Cosine,
    Denoiser,
    Eps,
    Gaussian,
    Karras,
    Linear,
    Prediction,
    Score,
    Seeded,
    V,
    Velocity,
    left,
)
from demist.core.exact import Exact
from demist.objectives import (
    LogitNormal,
    LogNormal,
    SimpleWeight,
    Uniform,
    VelocityWeight,
    denoising_loss,
    stratified,
    weights,
)
from truth import MIXTURE, SCHEDULES, T, f64

NET = nn.Linear(3, 3).double()


class Net(nn.Module):
    def forward(self, x, t):
        return NET(x)


class Fixed(Gaussian):
    def __init__(self, z):
        super().__init__()
        self.z = z

    def __call__(self, like):
        return self.z.to(like)


TIMES = torch.tensor([0.01, 0.2, 0.45, 0.55, 0.8, 0.98], dtype=f64)
DATA = torch.randn(6, 3, dtype=f64, generator=torch.Generator().manual_seed(1))
EPS = torch.randn(6, 3, dtype=f64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("schedule", "parameterization", "weight"),
    [
        (VP(), Eps(), weights.SimpleWeight()),
        (Cosine(), Eps(), weights.SimpleWeight()),
        (VP(), V(), weights.VWeight()),
        (VP(), X0(), weights.X0Weight()),
        (Linear(), Velocity(), weights.VelocityWeight()),
        (VE(), Karras(0.5), weights.EDMWeight(0.5)),
    ],
)  # fmt: skip
def test_published_losses_are_weights_on_x0(schedule, parameterization, weight):
    """The plain error of the raw output equals the weighted x0 error."""
    model = Denoiser(Net(), schedule, parameterization)
    a, s = (left(c, DATA) for c in schedule(TIMES))
    rates = tuple(left(c, DATA) for c in schedule.rates(TIMES))
    target = parameterization.target(DATA, EPS, a, s, lambda: rates)
    raw = ((NET(a * DATA + s * EPS) - target) ** 2).mean(1)
    ours = denoising_loss(model, DATA, TIMES, weight, Fixed(EPS))
    torch.testing.assert_close(ours, raw)


def test_weights_are_those_of_the_papers():
    sigma = T([0.01, 0.5, 20.0])  # Karras et al. 2022, table 1
    edm = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    torch.testing.assert_close(weights.EDMWeight(0.5)(-2 * sigma.log()), edm)
    log_snr = torch.tensor([-3.0, 0.0, 4.0], dtype=f64)
    snr = log_snr.exp()
    torch.testing.assert_close(weights.MinSNRWeight(5.0)(log_snr), snr.clamp(max=5))
    eps_weight = 1 / (1 + (log_snr - 2).exp())  # sigmoid(b - l), on the eps error
    torch.testing.assert_close(weights.SigmoidWeight(2.0)(log_snr), snr * eps_weight)


@pytest.mark.parametrize("name", SCHEDULES)
def test_minimised_by_the_posterior_mean(name):
    """No constant offset of the exact denoiser lowers the loss."""
    schedule = SCHEDULES[name]
    x0 = MIXTURE.sample(20_000, torch.Generator().manual_seed(0))
    t = torch.full((len(x0),), 0.02 if name == "ve" else 0.4, dtype=f64)

    class Moved:
        def __init__(self, by):
            self.by, self.schedule = by, schedule

        def __call__(self, x, t):
            p = Exact(MIXTURE, schedule)(x, t)
            return p.with_x0(p.x0 + self.by)

    def loss(by):
        noise = Gaussian(torch.Generator().manual_seed(1))
        return float(denoising_loss(Moved(by), x0, t, weights.X0Weight(), noise).mean())

    assert loss(0.0) < min(loss(0.1), loss(-0.1))


def test_no_rounding_at_the_smallest_noise():
    """At sigma = 1e-9 the eps loss of a perfect eps-network is 0 in float32, and not rounding."""
    x0, z = torch.randn(4, 5), torch.randn(4, 5)

    class Knows(nn.Module):
        def forward(self, x, t):
            return z

    model = Denoiser(Knows(), Linear(), Eps())
    t = torch.full((4,), 1e-9, dtype=f64)
    assert float(denoising_loss(model, x0, t, weights.SimpleWeight(), Fixed(z)).max()) < 1e-10


def test_gradients_are_finite_at_both_ends():
    net = nn.Linear(3, 3)

    class Small(nn.Module):
        def forward(self, x, t):
            return net(x)

    model = Denoiser(Small(), Linear(), Velocity())
    t = torch.tensor([1e-12, 1e-5, 1 - 1e-5, 1 - 1e-12], dtype=f64)
    denoising_loss(model, torch.randn(4, 3), t, weights.VelocityWeight()).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_times_are_quantiles():
    u = torch.linspace(0.001, 0.999, 9999, dtype=f64)
    for times in (Uniform(), LogNormal(), LogitNormal(0.5, 0.8)):
        t = times(u, Linear())
        assert (t.diff() > 0).all()
        assert t.min() > 0
        assert t.max() < 1
    log_sigma = -VE().log_snr(LogNormal(-1.2, 1.2)(u, VE())) / 2
    assert float(log_sigma.mean()) == pytest.approx(-1.2, abs=0.01)
    assert float(log_sigma.std()) == pytest.approx(1.2, abs=0.02)
    t = LogitNormal(0.5, 0.8)(u, Linear())
    assert float(torch.logit(t).mean()) == pytest.approx(0.5, abs=0.01)
    assert float(LogitNormal(0.5, 0.8)(T(0.5), Linear())) == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_stratified_fills_every_bin_once():
    u = stratified(torch.rand(64, dtype=f64))
    assert (u * 64).floor().tolist() == list(range(64))


class Smooth:
    """A denoiser with a known answer at times per part: x0 is half of the state."""

    schedule = Linear()

    def __call__(self, x, t, **cond):
        alpha, sigma = (left(c, x) for c in self.schedule(t))
        return Prediction(0.5 * x, (x - 0.5 * alpha * x) / sigma, alpha, sigma)


@pytest.mark.parametrize("weight", [SimpleWeight(), VelocityWeight()])
@pytest.mark.parametrize("parts", [2, 3, 4])
def test_times_per_part_are_the_mean_of_the_parts(weight, parts):
    """Also for as many parts as samples, where a loss per sample would broadcast in silence."""
    x0 = torch.randn(3, parts, 2, dtype=torch.float64)
    t = torch.rand(3, parts, dtype=torch.float64) * 0.9 + 0.05
    eps = Seeded([1, 2, 3])(x0)

    class Same(Gaussian):
        def __init__(self, z):
            super().__init__()
            self.z = z

        def __call__(self, like):
            return self.z

    joint = denoising_loss(Smooth(), x0, t, weight, Same(eps))
    apart = [
        denoising_loss(Smooth(), x0[:, f], t[:, f], weight, Same(eps[:, f])) for f in range(parts)
    ]
    assert joint.shape == (3,)
    torch.testing.assert_close(joint, torch.stack(apart).mean(0))


def test_a_given_part_has_no_weight_and_no_gradient_of_nan():
    net = torch.nn.Linear(2, 2).double()

    class Read(torch.nn.Module):
        def forward(self, x, clock):
            return net(x)

    x0 = torch.randn(3, 2, 2, dtype=torch.float64)
    t = torch.tensor([[0.0, 0.5]], dtype=torch.float64).expand(3, 2)
    for kind in (X0(), Eps(), V(), Velocity(), Score()):
        denoiser = Denoiser(Read(), VP(), kind, clock=AngleClock())
        loss = denoising_loss(denoiser, x0, t, SimpleWeight(), Seeded([1, 2, 3]))
        (gradient,) = torch.autograd.grad(loss.sum(), net.weight)
        p = denoiser(x0, t)
        torch.testing.assert_close(p.x0[:, 0], x0[:, 0])  # clean parts are what they are
        assert p.eps.isfinite().all()
        assert loss.isfinite().all()
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_pure_noise_among_many_times_is_refused_for_eps():
    denoiser = Denoiser(torch.nn.Identity(), Linear(), Eps(), clock=AngleClock())
    denoiser.net.forward = lambda x, clock: x
    with pytest.raises(ValueError, match="Eps cannot tell x0 and eps apart at alpha = 0"):
        denoiser(torch.ones(3, 2), torch.tensor([0.2, 1.0, 0.5], dtype=torch.float64))
