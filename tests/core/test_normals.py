"""Mixtures of full Gaussians, against mixtures of diagonal ones, quadrature and Bayes' rule."""

import pytest
import torch

from demist.core import Exact, Linear, Normals
from truth import MIXTURE, T, f64


def some(seed=0, k=4, d=3):
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(k, d, d, generator=g, dtype=f64)
    means = torch.randn(k, d, generator=g, dtype=f64)
    return Normals(torch.rand(k, generator=g, dtype=f64) + 0.1, means, root @ root.mT)


X = torch.randn(6, 3, generator=torch.Generator().manual_seed(7), dtype=f64)
MATRIX = torch.randn(2, 3, generator=torch.Generator().manual_seed(8), dtype=f64)
Y = torch.tensor([0.4, -1.1], dtype=f64)


@pytest.mark.parametrize("alpha, sigma", [(1.0, 0.0), (0.6, 0.8), (0.0, 1.0)])
def test_diagonal_ones_are_mixtures(alpha, sigma):
    full, x = Normals.of(MIXTURE), X[:, :2]
    a, s = T(alpha), T(sigma)
    for got, want in zip(full.posterior(x, a, s), MIXTURE.posterior(x, a, s), strict=True):
        assert (got - want).abs().max() < 1e-14
    assert (full.log_prob(x, a, s) - MIXTURE.log_prob(x, a, s)).abs().max() < 1e-13


@pytest.mark.parametrize("variance", [0.3, torch.tensor([0.2, 0.5], dtype=f64)])
def test_given_is_bayes_rule(variance):
    prior = some()
    joint = prior.log_prob(X) + torch.distributions.Normal(
        X @ MATRIX.T, torch.as_tensor(variance, dtype=f64).sqrt()
    ).log_prob(Y).sum(-1)
    evidence = joint - prior.given(MATRIX, Y, variance).log_prob(X)
    assert (evidence - evidence[0]).abs().max() < 1e-11


def test_the_score_is_the_gradient_of_the_density():
    prior, x = some(), X.clone().requires_grad_()
    times = torch.linspace(0.1, 0.9, 6, dtype=f64)
    alpha, sigma = (c[:, None] for c in Linear()(times))
    (want,) = torch.autograd.grad(prior.log_prob(x, alpha, sigma).sum(), x)
    assert (Exact(prior, Linear())(X, times).score - want).abs().max() < 1e-12
    r = prior.responsibilities(X, alpha, sigma)
    assert torch.allclose(r.sum(-1), torch.ones(6, dtype=f64))


def test_samples_have_its_moments():
    prior = some()
    x = prior.sample(100_000, torch.Generator().manual_seed(1))
    mean = (prior.weights[:, None] * prior.means).sum(0)
    spread = prior.means - mean
    total = torch.einsum("k,kij->ij", prior.weights, prior.covariances) + torch.einsum(
        "k,ki,kj->ij", prior.weights, spread, spread
    )
    assert (x.mean(0) - mean).abs().max() < 0.03
    assert (x.T.cov() / total - 1).abs().diagonal().max() < 0.03


def test_what_is_no_mixture_is_refused():
    with pytest.raises(ValueError, match="eigenvalue -1"):
        Normals(torch.ones(1), torch.zeros(1, 2), torch.diag(torch.tensor([1.0, -1.0]))[None])
    with pytest.raises(ValueError, match="smallest is 0"):
        Normals(torch.zeros(1), torch.zeros(1, 2), torch.eye(2)[None])
