"""Bayesian quadrature of the flow: its weights, and what they are worth."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from demist.core import Cosine, Gaussian, Linear, combine
from demist.core.exact import Exact, Mixture
from demist.errors import UsageError
from demist.samplers import Adams, Bayes, make_grid, make_solver, sample
from demist.samplers.numerics.quadrature import quadrature_weights
from truth import MIXTURE, T, f64, rms

SCALES = np.geomspace(1 / 60, 2, 60)
SHARES = SCALES**2 / (SCALES**2).sum()


def parts(error):
    """Every part of the prior: its standard deviation, and what it adds to x0 at u."""
    for c, share in zip(SCALES, SHARES, strict=True):
        yield share**0.5, lambda u, c=c: c**2 * u / (1 + (c * u) ** 2) ** 0.5
    yield 1.0, lambda u: 1.0
    for k in (1, 2, 3):
        yield error, lambda u, k=k: (1 + u) ** -k  # tau = 1 / (1 + u)


@pytest.mark.parametrize("error", [0.003, 0.3])
@pytest.mark.parametrize("taus", [(0.8,), (0.6, 0.9), (0.3, 0.1, 0.55)])
def test_weights_are_the_mean_given_what_is_known(taus, error):
    """Of the joint normal distribution of predictions, state and integral, written out again."""
    end = 0.1 if len(taus) == 3 else 0.45
    us = [(1 - tau) / tau for tau in taus]
    last = (1 - end) / end
    rows = []  # by part: x / sigma, x0 at each u, the integral that is wanted
    for spread, x0 in parts(error):
        # From pure noise, u = 0, where x / sigma is the noise: 1 for the Gaussian axes.
        noise = 1.0 if len(rows) < len(SCALES) else 0.0
        state = noise + quad(x0, 0, us[0], epsabs=1e-13, epsrel=1e-13)[0]
        gain = quad(x0, us[0], last, epsabs=1e-13, epsrel=1e-13)[0]
        rows.append([spread * v for v in (state, *(x0(u) for u in us), gain)])
    joint = np.array(rows)
    covariance = joint.T @ joint
    wanted = np.linalg.solve(covariance[:-1, :-1], covariance[:-1, -1])
    a, b = quadrature_weights(taus, end, error)
    np.testing.assert_allclose([a, *b], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("std", [0.03, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("n", [5, 12])
def test_data_of_one_scale_is_followed_more_closely_than_by_polynomials(std, n):
    """Against the flow of a Gaussian, which takes a draw of noise to `std` times it."""
    z = torch.randn((16, 8), generator=torch.Generator().manual_seed(0), dtype=f64)
    data = Mixture(torch.ones(1, dtype=f64), torch.zeros((1, 8), dtype=f64), std**2)
    ours, theirs = (
        rms(sample(Exact(data, Linear()), z, make_grid(grid, n, Linear()), solver) - std * z)
        for grid, solver in ((Bayes.grid, Bayes()), ("angular", Adams(p=2, last=1)))
    )
    assert ours < 0.85 * theirs
    assert ours < (0.05 if n == 5 else 0.007)


@cache
def unlike(seed):
    """A mixture of widths of its own, starts, and where the flow takes them."""
    g = torch.Generator().manual_seed(70_000 + seed)
    d, k = 2 + 3 * seed, 2 + seed
    spectrum = torch.logspace(0, -(seed % 4) / 2, d, dtype=f64)
    means = 0.7 * torch.randn((k, d), generator=g, dtype=f64) * spectrum
    widths = (0.05 + 0.4 * torch.rand((k, 1), generator=g, dtype=f64)) * spectrum
    model = Exact(Mixture(torch.ones(k, dtype=f64), means, widths**2), Cosine())
    z = torch.randn((64, d), generator=g, dtype=f64)
    return model, z, sample(model, z, make_grid("smooth", 400, Cosine()), Adams())


@pytest.mark.parametrize("n", [5, 10, 20, 40])
def test_the_default_of_vectors_is_nearer_to_the_flow_than_adams(n):
    """Twelve mixtures, none of those that it was chosen on."""
    ratios = []
    for seed in range(12):
        model, z, exact = unlike(seed)
        before, after = (
            (sample(model, z, make_grid(grid, n, Cosine()), make_solver(solver)) - exact)
            for solver, grid in (("adams", "angular"), ("bayes", Bayes.grid))
        )
        ratios.append(float((before.norm(dim=1).median() / after.norm(dim=1).median()).log()))
    assert np.exp(np.mean(ratios)) > 1.3


def test_a_change_of_the_state_between_steps_is_kept():
    """The corrector redoes the step before; what `constrain` did must survive it."""
    model, x = Exact(MIXTURE, Linear()), T([[0.3, -0.8]])
    solver, times = Bayes(), make_grid(Bayes.grid, 6, Linear())
    state, memory = solver.step(model, x, times[0], times[1], None, Gaussian())
    moved = state + T([[0.2, 0.0]])
    _, (corrected, *_) = solver.step(model, moved, times[1], times[2], memory, Gaussian())
    p = model(moved, times[1])
    last_x, last_sigma, past, _ = memory
    tau = float(p.sigma / (p.alpha + p.sigma))
    a, b = quadrature_weights((past[0][0], tau), tau, solver.error)
    scales = ((1 + a) * p.sigma / last_sigma, *(w * p.sigma for w in b))
    wanted = combine(scales, (last_x, past[0][1], p.x0)) + T([[0.2, 0.0]])
    torch.testing.assert_close(corrected, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "words"),
    [("bayes:p=0", "p = 1 to 4"), ("bayes:p=5", "p = 1 to 4"), ("bayes:error=2", "0 and 1")],
)
def test_options_out_of_range_are_refused(spec, words):
    with pytest.raises(UsageError, match=words):
        make_solver(spec)
