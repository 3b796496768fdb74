import math

import pytest
import torch

from demist.core import Linear
from demist.core.exact import Exact, Mixture, Normal, points
from truth import MIXTURE, NORMAL, T, f64


def test_posterior_by_quadrature():
    """E[x0 | x] of a one-dimensional mixture against a plain integral over x0."""
    mixture = Mixture(T([0.4, 0.6]), T([[-1.0], [0.8]]), T([[0.1], [0.3]]))
    x, alpha, sigma = T([[0.2], [-0.9]]), T(0.7), T(0.5)
    x0 = torch.linspace(-8, 8, 20001, dtype=f64)
    density = mixture.log_prob(x0[:, None]).exp()
    likelihood = torch.exp(-((x - alpha * x0) ** 2) / (2 * sigma**2))
    joint = density * likelihood
    mean = (joint * x0).sum(1) / joint.sum(1)
    estimate, eps = mixture.posterior(x, alpha, sigma)
    torch.testing.assert_close(estimate[:, 0], mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(alpha * estimate + sigma * eps, x)
    evidence = joint.sum(1) * (x0[1] - x0[0]) / math.sqrt(2 * math.pi * sigma**2)
    torch.testing.assert_close(mixture.log_prob(x, alpha, sigma), evidence.log())


def test_density_integrates_to_one():
    axis = torch.linspace(-6, 6, 601, dtype=f64)
    grid = torch.cartesian_prod(axis, axis)
    cell = (axis[1] - axis[0]) ** 2
    for distribution in (NORMAL, MIXTURE):
        for scales in ((1.0, 0.0), (0.5, 0.8)):
            total = distribution.log_prob(grid, *scales).exp().sum() * cell
            assert float(total) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("distribution", [NORMAL, MIXTURE], ids=["normal", "mixture"])
def test_samples_have_the_moments(distribution):
    generator = torch.Generator().manual_seed(3)
    x = distribution.sample(200_000, generator)
    pure, clean = (T(0.0), T(1.0)), (T(1.0), T(1e-6))
    mean = distribution.posterior(torch.zeros(1, 2, dtype=f64), *pure)[0][0]
    torch.testing.assert_close(x.mean(0), mean, rtol=0, atol=0.01)
    # A sample with next to no noise is its own best estimate.
    torch.testing.assert_close(distribution.posterior(x[:5], *clean)[0], x[:5], atol=1e-5, rtol=0)


def test_normal_is_the_mixture_of_one():
    normal = Normal(T([0.3, -0.2]), torch.diag(T([0.5, 2.0])))
    mixture = Mixture(T([1.0]), T([[0.3, -0.2]]), T([[0.5, 2.0]]))
    x, scales = torch.randn(7, 2, dtype=f64), (T(0.6), T(0.9))
    torch.testing.assert_close(normal.log_prob(x, *scales), mixture.log_prob(x, *scales))
    for a, b in zip(normal.posterior(x, *scales), mixture.posterior(x, *scales), strict=True):
        torch.testing.assert_close(a, b)


def test_flow_carries_marginals_onto_marginals():
    schedule = Linear()
    start, end = schedule(T(1.0)), schedule(T(0.0))
    x = torch.randn(200_000, 2, dtype=f64, generator=torch.Generator().manual_seed(0))
    y = NORMAL.flow(x, start, end)
    torch.testing.assert_close(y.mean(0), T([0.7, -0.3]), rtol=0, atol=0.01)
    torch.testing.assert_close(y.T.cov(), T([[0.5, 0.2], [0.2, 0.3]]), rtol=0, atol=0.01)
    back = NORMAL.flow(y, end, start)
    torch.testing.assert_close(back, x)


def test_the_memoriser_ends_on_its_data():
    data = torch.randn(10, 2, dtype=f64)
    p = Exact(points(data), Linear())(data * (1 - 1e-4), T(1e-4))
    torch.testing.assert_close(p.x0, data, rtol=0, atol=1e-12)


def test_clear_errors():
    with pytest.raises(ValueError, match="eigenvalue -1"):
        Normal(T([0.0, 0.0]), torch.diag(T([1.0, -1.0])))
    with pytest.raises(ValueError, match="positive weights"):
        Mixture(T([1.0, -1.0]), T([[0.0], [1.0]]), 1.0)
