import math

import numpy as np
import pytest
import torch
from torch import nn

from demist.core import Gaussian, Linear, Seeded
from demist.core.exact import Exact, Mixture
from demist.errors import UsageError
from demist.objectives.likelihood import (
    bits_per_dim,
    continuous_elbo,
    dequantise,
    discrete_elbo,
    log_prob,
)
from demist.objectives.vlb import gaussian_decoder
from demist.samplers import uniform
from truth import MIXTURE, NORMAL, SCHEDULES, T, f64

ONE_D = Mixture(T([0.4, 0.6]), T([[-1.0], [0.8]]), T([[0.1], [0.3]]))
NODES, WEIGHTS = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(48))
WEIGHTS = WEIGHTS / math.sqrt(2 * math.pi)


class Quadrature(Gaussian):
    """Gauss-Hermite nodes as draws: weighted means over the batch are exact expectations."""

    def __call__(self, like):
        return NODES[:, None].to(like)


def expected(terms):
    return float((WEIGHTS * terms).sum())


@pytest.mark.parametrize("name", ["linear", "cosine", "table-zero-snr", "zero-vp"])
@pytest.mark.parametrize("distribution", [NORMAL, MIXTURE], ids=["normal", "mixture"])
def test_ode_equals_the_density(name, distribution):
    x = distribution.sample(16, torch.Generator().manual_seed(0))
    found = log_prob(Exact(distribution, SCHEDULES[name]), x)
    torch.testing.assert_close(found.log_prob, distribution.log_prob(x), rtol=0, atol=1e-4)
    assert 10 < found.evaluations < 200


@pytest.mark.parametrize("std", [5e-3, 5e-4, 5e-5])
def test_data_finer_than_where_the_integration_usually_begins(std):
    """The Euler step out of clean data lost .15 nats per dimension for modes of std .0005."""
    fine = Mixture(T([0.4, 0.6]), T([[-1.0, 0.0], [1.0, 0.5]]), std**2)
    x = fine.sample(8, torch.Generator().manual_seed(0))
    found = log_prob(Exact(fine, Linear()), x)
    torch.testing.assert_close(found.log_prob / 2, fine.log_prob(x) / 2, rtol=0, atol=1e-3)
    single = Mixture(fine.weights.float(), fine.means.float(), std**2)
    if std < 1e-3:
        with pytest.warns(UserWarning, match=r"finer than noise of 0.0004.* double precision"):
            log_prob(Exact(single, Linear()), x.float())


@pytest.mark.parametrize("name", ["vp", "ve"])
def test_what_the_prior_costs_where_the_end_is_not_pure_noise(name):
    x = MIXTURE.sample(16, torch.Generator().manual_seed(0))
    found = log_prob(Exact(MIXTURE, SCHEDULES[name]), x)
    error = (found.log_prob - MIXTURE.log_prob(x)).abs().max()
    assert 1e-4 < float(error) < 0.05


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_few_euler_steps_are_refused(steps):
    """On data as narrow as images a naive likelihood is off by far more than models differ."""
    narrow = Mixture(T([1.0, 1.0]), T([[-1.0, 0.3], [0.8, 0.0]]), T(0.01))
    x = narrow.sample(16, torch.Generator().manual_seed(0))
    with pytest.raises(UsageError, match=f"{steps} Euler steps is off by about .* no likelihood"):
        log_prob(Exact(narrow, Linear()), x, euler=steps)


@pytest.mark.slow
def test_many_euler_steps_are_allowed_and_the_estimate_of_their_error_is_true():
    x = MIXTURE.sample(16, torch.Generator().manual_seed(0))
    model, exact = Exact(MIXTURE, Linear()), MIXTURE.log_prob(x)
    coarse, fine = (log_prob(model, x, euler=n).log_prob for n in (400, 800))
    error = (coarse - exact).abs().mean()
    assert float(error) < 0.04
    assert float(2 * (coarse - fine).abs().mean()) == pytest.approx(float(error), rel=0.15)
    with pytest.raises(UsageError, match="at least 1 step"):
        log_prob(model, x, euler=0)


def test_from_a_noisy_start_it_is_the_noisy_density():
    x = torch.randn(5, 2, dtype=f64)
    found = log_prob(Exact(MIXTURE, Linear()), x, start=0.3)
    torch.testing.assert_close(
        found.log_prob, MIXTURE.log_prob(x, *Linear()(T(0.3))), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3])
def test_the_tolerance_is_nats_per_dimension_in_many_dimensions(tolerance):
    """From a noise far below most of the data's widths: as from dequantised images."""
    generator = torch.Generator().manual_seed(0)
    widths = torch.logspace(-6, 0, 64, dtype=f64).expand(3, 64)
    data = Mixture(
        T([0.2, 0.3, 0.5]), 0.3 * torch.randn(3, 64, generator=generator).to(f64), widths
    )
    t = Linear().time_at(T(13.0))
    alpha, sigma = Linear()(t)
    x = alpha * data.sample(4, generator) + sigma * torch.randn(4, 64, generator=generator).to(f64)
    found = log_prob(Exact(data, Linear()), x, start=float(t), rtol=tolerance, atol=tolerance)
    error = (found.log_prob - data.log_prob(x, alpha, sigma)).abs() / 64
    assert float(error.max()) < 3 * tolerance


def test_the_flow_ends_in_standard_normal_noise():
    x = MIXTURE.sample(2000, torch.Generator().manual_seed(0))
    noise = log_prob(
        Exact(MIXTURE, Linear()), x, divergence="rademacher", rtol=1e-3, atol=1e-3
    ).noise
    torch.testing.assert_close(noise.mean(0), torch.zeros(2, dtype=f64), rtol=0, atol=0.08)
    torch.testing.assert_close(noise.T.cov(), torch.eye(2, dtype=f64), rtol=0, atol=0.1)


@pytest.mark.parametrize("divergence", ["rademacher", "gaussian"])
def test_estimated_divergence_is_unbiased(divergence):
    x = MIXTURE.sample(1, torch.Generator().manual_seed(0)).expand(2000, 2)
    noise = Gaussian(torch.Generator().manual_seed(1))
    found = log_prob(
        Exact(MIXTURE, Linear()), x, divergence=divergence, noise=noise, rtol=1e-4, atol=1e-4
    )
    spread = float(found.log_prob.std()) / math.sqrt(2000)
    assert spread > 0
    assert float(found.log_prob.mean()) == pytest.approx(
        float(MIXTURE.log_prob(x[:1])), abs=4.5 * spread
    )


def test_estimated_divergence_is_reproducible():
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(3)
    a, b = (log_prob(model, x, divergence="rademacher", noise=Seeded([1, 2, 3])) for _ in range(2))
    assert torch.equal(a.log_prob, b.log_prob)


@pytest.mark.parametrize("x", [-1.2, 0.1, 0.9])
def test_continuous_bound_is_tight(x):
    x0 = torch.full((48, 1), x, dtype=f64)
    bound = continuous_elbo(Exact(ONE_D, Linear()), x0, Quadrature(), levels=600)
    assert expected(bound.elbo) == pytest.approx(float(ONE_D.log_prob(x0[:1])), abs=1e-3)
    assert bound.steps.shape == (600, 48)


def test_discrete_bound_approaches_the_entropy_from_below():
    """DataParallel over the data: at one point the discrete model may be denser than the truth."""
    grid = torch.linspace(-4, 4, 81, dtype=f64)
    density = ONE_D.log_prob(grid[:, None]).exp()
    share = (density / density.sum()).repeat_interleave(48) * WEIGHTS.repeat(81)
    x0 = grid.repeat_interleave(48)[:, None]
    truth = float((density / density.sum() * density.log()).sum())

    class Tiled(Gaussian):
        def __call__(self, like):
            return NODES.repeat(81)[:, None]

    gaps = []
    for n in (50, 100, 200):
        bound = discrete_elbo(
            Exact(ONE_D, SCHEDULES["zero-vp"]), x0, uniform(n), Tiled(),
            decoder=gaussian_decoder, large=True,
        )  # fmt: skip
        gaps.append(truth - float((share * bound.elbo).sum()))
    assert 0 < gaps[2] < gaps[1] < gaps[0] < 0.5
    assert gaps[1] / gaps[2] == pytest.approx(2, abs=0.5)  # first order in the step


@pytest.mark.parametrize("x", [-2.0, 0.0, 1.5])
def test_ode_is_not_below_the_bound(x):
    x0 = torch.full((48, 1), x, dtype=f64)
    model = Exact(ONE_D, Linear())
    bound = expected(continuous_elbo(model, x0, Quadrature(), levels=600).elbo)
    assert float(log_prob(model, x0[:1]).log_prob) > bound - 1e-3


def test_a_network_in_single_precision():
    net = nn.Linear(3, 3)

    class Net(nn.Module):
        def forward(self, x, t):
            return torch.tanh(net(x))

    from demist.core import Denoiser, V

    model = Denoiser(Net(), Linear(), V())
    found = log_prob(model, torch.randn(4, 3), rtol=1e-3, atol=1e-3)
    assert found.log_prob.dtype == torch.float32
    assert found.log_prob.isfinite().all()
    assert all(p.grad is None for p in net.parameters())


def test_bits_per_dim_of_uniform_bytes_is_eight():
    density = torch.full((3,), 5 * math.log(1 / 2.0) + 5 * math.log(255 / 256))  # on 256 bins
    assert bits_per_dim(density, 5).tolist() == pytest.approx([8.0] * 3, rel=1e-5)
    assert bits_per_dim(torch.tensor([-5 * math.log(256)]), 5, 1.0).tolist() == pytest.approx([8])


def test_dequantisation_fills_the_bins():
    x = torch.zeros(10_000, 1)
    y = dequantise(x, Gaussian(torch.Generator().manual_seed(0))) * 255 / 2
    assert y.min() >= -0.5
    assert y.max() <= 0.5
    assert float(y.var()) == pytest.approx(1 / 12, rel=0.05)
