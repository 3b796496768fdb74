"""Noise without a centre of mass: its subspace is a space of fewer dimensions."""

import math

import pytest
import torch

from demist.core import VE, VP, Centred, Gaussian, Linear, Prediction, Seeded, count_dims, left
from demist.objectives import X0Weight, denoising_loss
from demist.objectives.likelihood import continuous_elbo, log_prob
from demist.objectives.vlb import gaussian_decoder, step_bound
from truth import T, f64

MASK = T([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]])
COLUMNS, VARIANCE = 5, 0.4


class Atoms:
    """The exact denoiser of data that is N(0, v I) on the subspace; it changes nothing off it."""

    def __init__(self, schedule=None):
        self.schedule = schedule or Linear()

    def __call__(self, x, t, **cond):
        alpha, sigma = (left(c, x) for c in self.schedule(t))
        total = alpha**2 * VARIANCE + sigma**2
        return Prediction(alpha * VARIANCE / total * x, sigma / total * x, alpha, sigma)


def noise(mask=MASK, **kwargs):
    return Centred(Seeded([1, 2, 3], **kwargs), mask)


def padded(x, n):
    return torch.cat([x, x.new_zeros(len(x), n, *x.shape[2:])], 1)


def test_draws_have_no_centre_and_padding_is_zero():
    z = noise()(torch.empty(3, 4, COLUMNS, dtype=f64))
    assert z[..., :3].sum(1).abs().max() < 1e-12
    assert (z * (1 - MASK)[..., None]).abs().max() == 0
    assert torch.equal(noise().dims(z), T([3 * 3 + 4 * 2, 2 * 3 + 3 * 2, 3 + 2 * 2]))
    torch.testing.assert_close(noise().project(z), z)


def test_draws_are_standard_normal_on_the_subspace():
    mask = torch.ones(4000, 3)
    z = Centred(Gaussian(torch.Generator().manual_seed(0)), mask)(torch.empty(4000, 3, 4)).flatten(
        1
    )
    covariance = torch.cov(z.T)
    values = torch.linalg.eigvalsh(covariance)
    assert values[:3].abs().max() < 1e-5  # three directions are empty
    assert (values[3:] - 1).abs().max() < 0.15


@pytest.mark.slow
def test_more_padding_changes_nothing():
    x = noise()(torch.empty(3, 4, COLUMNS, dtype=f64)) * math.sqrt(VARIANCE)
    t = T([0.2, 0.5, 0.9])
    torch.testing.assert_close(noise(padded(MASK, 3))(padded(x, 3)), padded(noise()(x), 3))
    for measure in (
        lambda x, n: denoising_loss(Atoms(), x, t, noise=n),
        lambda x, n: log_prob(Atoms(), x, noise=n, rtol=1e-9, atol=1e-9).log_prob,
        lambda x, n: continuous_elbo(Atoms(), x, n, levels=20).elbo,
        lambda x, n: step_bound(Atoms(), x, t, t - 0.1, n, decoder=gaussian_decoder),
        lambda x, n: step_bound(Atoms(), x, t, 0 * t, n, decoder=gaussian_decoder),
        lambda x, n: step_bound(Atoms(), x, t, t - 0.1, n, decoder=gaussian_decoder, large=True),
    ):
        wide = measure(padded(x, 3), noise(padded(MASK, 3)))
        torch.testing.assert_close(wide, measure(x, noise()), rtol=1e-5, atol=1e-5)


def test_the_loss_is_the_mean_over_the_dimensions():
    """At every t the error of x0 has the variance of its posterior, in each dimension."""
    n, t = 2000, T(0.6)
    mask = MASK[1:2].expand(n, 4)
    geometry = Centred(Seeded(range(n)), mask)
    x = Centred(Seeded(range(n, 2 * n)), mask)(torch.empty(n, 4, COLUMNS, dtype=f64))
    loss = denoising_loss(Atoms(), VARIANCE**0.5 * x, t.expand(n), X0Weight(), noise=geometry)
    exact = VARIANCE * 0.36 / (0.16 * VARIANCE + 0.36)
    assert abs(float(loss.mean()) / exact - 1) < 0.02


@pytest.mark.parametrize("schedule", [VP(), VE()])
def test_the_likelihood_counts_the_dimensions_in_any_units(schedule):
    """Where the state grows or does not end in pure noise, units of it are counted as well."""
    x = noise()(torch.empty(3, 4, COLUMNS, dtype=f64)) * math.sqrt(VARIANCE)
    dims = count_dims(noise(), x)
    start = 0.1
    alpha, sigma = (float(c) for c in schedule(T(start)))
    variance = alpha**2 * VARIANCE + sigma**2
    state = x * math.sqrt(variance / VARIANCE)
    exact = -0.5 * (
        state.square().flatten(1).sum(1) / variance + dims * math.log(2 * math.pi * variance)
    )
    found = log_prob(Atoms(schedule), state, start=start, noise=noise(), rtol=1e-7, atol=1e-7)
    assert (found.log_prob - exact).abs().max() < 1e-2


@pytest.mark.parametrize("divergence", ["exact", "rademacher", "gaussian"])
def test_the_likelihood_is_the_density_on_the_subspace(divergence):
    x = noise()(torch.empty(3, 4, COLUMNS, dtype=f64)) * math.sqrt(VARIANCE)
    dims = count_dims(noise(), x)
    exact = -0.5 * (
        x.square().flatten(1).sum(1) / VARIANCE + dims * math.log(2 * math.pi * VARIANCE)
    )
    draws = 1 if divergence == "exact" else 100
    found = log_prob(Atoms(), x, noise=noise(), divergence=divergence, draws=draws)
    assert (found.log_prob - exact).abs().max() < (1e-2 if divergence == "exact" else 3.0)


def test_the_bound_counts_the_dimensions():
    """It is tight for the exact model; one dimension more or less would be 5 nats."""
    n = 300
    mask = MASK[1:2].expand(n, 4)
    x = Centred(Seeded(range(n)), mask)(torch.empty(n, 4, COLUMNS, dtype=f64)) * VARIANCE**0.5
    dims = count_dims(Centred(Gaussian(), mask), x)
    exact = -0.5 * (
        x.square().flatten(1).sum(1) / VARIANCE + dims * math.log(2 * math.pi * VARIANCE)
    )
    generator = torch.Generator().manual_seed(0)
    gap = continuous_elbo(Atoms(), x, Centred(Gaussian(generator), mask), levels=200).elbo - exact
    assert abs(gap.mean()) < 4 * gap.std() / n**0.5 < 2.0


def test_an_empty_sample_is_refused():
    with pytest.raises(ValueError, match="at least one real atom"):
        Centred(Gaussian(), torch.zeros(1, 3))
