import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from demist.core import VP, Cosine, Denoiser, Eps, Gaussian, Linear, Seeded
from demist.objectives.denoising import denoising_loss
from demist.objectives.vlb import (
    discretised_decoder,
    gaussian_decoder,
    hybrid_loss,
    step_bound,
)
from demist.samplers import ancestral_variances
from truth import DDPM_TABLE, T, f64

X0 = torch.linspace(-1, 1, 8, dtype=f64).reshape(4, 2)
Z = torch.randn(4, 2, dtype=f64, generator=torch.Generator().manual_seed(0))


class Fixed(Gaussian):
    def __call__(self, like):
        return Z.to(like)


class Net(nn.Module):
    """An eps-network with a learned variance at a given fraction."""

    def __init__(self, fraction):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.3, dtype=f64))
        self.fraction = nn.Parameter(torch.tensor(fraction, dtype=f64))

    def forward(self, x, t):
        return torch.cat([self.gain * x, (2 * self.fraction - 1).expand_as(x)], 1)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_a_step_is_the_divergence_of_two_gaussians(fraction):
    """Against torch's KL, with the means as printed in Ho et al. 2020, eqs. 7 and 11."""
    i = 300
    t, s = T((i + 1) / 1000), T(i / 1000)
    bar = DDPM_TABLE.alpha_bar
    beta = 1 - bar[i] / bar[i - 1]
    small = beta * (1 - bar[i - 1]) / (1 - bar[i])
    x = bar[i].sqrt() * X0 + (1 - bar[i]).sqrt() * Z
    posterior = (
        bar[i - 1].sqrt() * beta / (1 - bar[i]) * X0
        + (1 - beta).sqrt() * (1 - bar[i - 1]) / (1 - bar[i]) * x
    )
    model = (x - beta / (1 - bar[i]).sqrt() * 0.3 * x) / (1 - beta).sqrt()
    std = torch.exp(0.5 * (fraction * beta.log() + (1 - fraction) * small.log()))
    want = kl_divergence(Normal(posterior, small.sqrt()), Normal(model, std)).sum(1)
    denoiser = Denoiser(Net(fraction), DDPM_TABLE, Eps(), learn_variance=True)
    ours = step_bound(denoiser, X0, t.expand(4), s.expand(4), Fixed())
    torch.testing.assert_close(ours, want, rtol=1e-7, atol=1e-9)


def test_the_last_step_is_the_decoder():
    t, s = T([0.002] * 4), T([0.0] * 4)
    denoiser = Denoiser(Net(0.5), VP(), Eps(), learn_variance=True)
    ours = step_bound(denoiser, X0, t, s, Fixed(), decoder=gaussian_decoder)
    alpha, sigma = VP()(t[0])
    x = alpha * X0 + sigma * Z
    mean = (x - sigma * 0.3 * x) / alpha
    variance = ancestral_variances((alpha, sigma), (T(1.0), T(0.0)))[1]
    want = -Normal(mean, variance.sqrt()).log_prob(X0).sum(1)
    torch.testing.assert_close(ours, want)


def test_discretised_decoder_is_a_distribution_over_bytes():
    values = torch.arange(256, dtype=f64) / 127.5 - 1
    for mean, std in ((0.1, 0.02), (-0.99, 0.3), (0.0, 1e-4), (1.2, 0.05)):
        mean, variance = T(mean).expand(256), T(std**2).expand(256)
        mass = discretised_decoder(values, mean, variance)
        assert mass.isfinite().all()
        assert float(mass.exp().sum()) == pytest.approx(1, abs=1e-6)


def test_discretised_decoder_far_in_the_tail_has_a_gradient():
    mean = torch.tensor([0.9], requires_grad=True)
    discretised_decoder(torch.tensor([-0.5]), mean, torch.tensor([1e-6])).sum().backward()
    assert mean.grad.isfinite().all()
    assert mean.grad < 0


def test_the_best_variance_is_the_true_one():
    """On N(0, v) data the variance of q(x_s | x_t) is known; the bound must be lowest there."""
    v, t, s = 0.2, T(0.5), T(0.4)
    (a_t, g_t), (a_s, g_s) = Linear()(t), Linear()(s)
    small, large = ancestral_variances((a_t, g_t), (a_s, g_s))
    total = a_t**2 * v + g_t**2
    gain = a_s - (g_s**2 - small).sqrt() * a_t / g_t  # d mean / d x0
    true = small + gain**2 * v * g_t**2 / total
    best = float((true / small).log() / (large / small).log())
    assert 0.02 < best < 0.98

    class Gauss(nn.Module):
        def __init__(self, fraction):
            super().__init__()
            self.fraction = fraction

        def forward(self, x, clock):
            return torch.cat([g_t / total * x, torch.full_like(x, 2 * self.fraction - 1)], 1)

    generator = torch.Generator().manual_seed(0)
    x0 = math.sqrt(v) * torch.randn(200_000, 1, dtype=f64, generator=generator)

    def bound(fraction):
        model = Denoiser(Gauss(fraction), Linear(), Eps(), learn_variance=True)
        noise = Gaussian(torch.Generator().manual_seed(1))
        many = (time.expand(len(x0)) for time in (t, s))
        return float(step_bound(model, x0, *many, noise).mean())

    assert bound(best) < min(bound(best - 0.15), bound(best + 0.15))


def test_hybrid_objective():
    """L_simple + 0.001 L_vlb, the second moving the variance only."""
    net = Net(0.5)
    model = Denoiser(net, DDPM_TABLE, Eps(), learn_variance=True)
    t = T([0.0301, 0.3, 0.5, 0.9])
    loss = hybrid_loss(model, X0, t, 1000, noise=Fixed())
    ends = T([0.031, 0.3, 0.5, 0.9])
    simple = denoising_loss(model, X0, ends, noise=Fixed())
    bound = step_bound(model, X0, ends, ends - 0.001, Fixed())
    torch.testing.assert_close(loss, simple + 0.001 * 1000 * bound / 2)
    gain, fraction = torch.autograd.grad(loss.sum(), (net.gain, net.fraction))
    (only_simple,) = torch.autograd.grad(simple.sum(), net.gain)
    torch.testing.assert_close(gain, only_simple)
    assert fraction != 0


def test_the_hybrid_objective_of_eps_is_finite_where_the_last_step_begins_in_pure_noise():
    """Times are rounded up to the end of their step, which is t = 1 for the last."""

    class Net(torch.nn.Module):
        def forward(self, x, clock):
            return torch.cat([0.5 * x, 0 * x], 1)

    denoiser = Denoiser(Net(), Cosine(), Eps(), learn_variance=True)
    t = torch.tensor([0.2, 0.5, 0.8, 0.99], dtype=torch.float64)
    assert hybrid_loss(denoiser, torch.zeros(4, 3), t, 20, noise=Seeded(range(4))).isfinite().all()
