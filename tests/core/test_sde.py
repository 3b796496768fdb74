"""The SDE view: drift and diffusion against the papers, marginals against closed forms."""

from itertools import pairwise

import pytest
import torch

from demist.core import VE, VP, Cosine, Gaussian, Linear
from demist.core.exact import Exact, Mixture
from demist.core.sde import (
    drift,
    forward_euler,
    forward_jump,
    reverse_drift,
    score,
    squared_diffusion,
    transition,
    velocity,
)
from truth import MIXTURE, SCHEDULES, T, f64

TIMES = torch.tensor([0.01, 0.2, 0.5, 0.7, 0.95], dtype=f64)
SMOOTH = ["linear", "vp", "ve", "cosine", "sigmoid", "zero-vp", "shifted"]


def test_pinned_to_the_papers():
    # Song et al. 2021, eq. 11 (VP: f = -beta / 2, g^2 = beta) and eq. 9 (VE: g^2 = d sigma^2 / dt).
    beta = 0.1 + 19.9 * TIMES
    torch.testing.assert_close(drift(VP(), TIMES), -beta / 2)
    torch.testing.assert_close(squared_diffusion(VP(), TIMES), beta)
    assert (drift(VE(80.0), TIMES) == 0).all()
    torch.testing.assert_close(squared_diffusion(VE(80.0), TIMES), 2 * 6400 * TIMES)
    # Rectified flow: f = -1 / (1 - t), g^2 = 2 t / (1 - t).
    torch.testing.assert_close(drift(Linear(), TIMES), -1 / (1 - TIMES))
    torch.testing.assert_close(squared_diffusion(Linear(), TIMES), 2 * TIMES / (1 - TIMES))


def test_limits_at_both_ends():
    assert squared_diffusion(VP(), T(0.0)) == pytest.approx(0.1)  # beta_min, though sigma' is inf
    assert squared_diffusion(VE(), T(0.0)) == pytest.approx(0.0)
    assert drift(Cosine(), T(1.0)) == -torch.inf
    assert squared_diffusion(Linear(), T(1.0)) == torch.inf


@pytest.mark.parametrize("name", SCHEDULES)
def test_diffusion_is_never_negative(name):
    t = torch.linspace(0, 0.999, 50, dtype=f64)
    assert (squared_diffusion(SCHEDULES[name], t) >= -1e-12).all()


@pytest.mark.parametrize("name", SCHEDULES)
def test_jumps_compose_to_the_closed_form(name):
    """Step by step and in one jump: the same law, exactly."""
    schedule, grid = SCHEDULES[name], torch.linspace(0, 1, 8, dtype=f64)
    mean, variance = T(1.0), T(0.0)
    for t, s in pairwise(grid):
        kept, std = transition(schedule, t, s)
        mean, variance = kept * mean, kept**2 * variance + std**2
    alpha, sigma = schedule(grid[-1])
    torch.testing.assert_close(mean, alpha, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(variance, sigma**2, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["linear", "vp", "ve", "cosine"])
def test_forward_euler_converges_to_the_jump(name):
    """Exact mean and variance of small steps: row 0 carries the mean, row 1 + k the k-th draw."""
    schedule = SCHEDULES[name]
    kept, std = transition(schedule, T(0.1), T(0.6))

    def error(n):
        class Impulse(Gaussian):
            def __call__(self, like):
                return self.z

        x = torch.zeros(n + 1, 1, dtype=f64)
        x[0], noise = 1.0, Impulse()
        for k, (t, s) in enumerate(pairwise(torch.linspace(0.1, 0.6, n + 1, dtype=f64))):
            noise.z = torch.zeros_like(x)
            noise.z[k + 1] = 1.0
            x = forward_euler(schedule, x, t, s, noise)
        moments = float(x[0]), float(x[1:].square().sum())
        return abs(moments[0] - float(kept)) + abs(moments[1] / float(std**2) - 1)

    assert error(400) < 0.01
    assert error(200) / error(400) == pytest.approx(2, abs=0.1)


def test_forward_jump_draws_the_transition():
    kept, std = transition(VP(), T(0.2), T(0.5))
    x = torch.full((4, 3), 2.0, dtype=f64)
    y = forward_jump(VP(), x, T(0.2), T(0.5), Gaussian(torch.Generator().manual_seed(1)))
    z = Gaussian(torch.Generator().manual_seed(1))(x)
    torch.testing.assert_close(y, kept * x + std * z)


def test_per_sample_times():
    model, x = Exact(MIXTURE, VP()), torch.randn(3, 2, dtype=f64)
    t = torch.tensor([0.2, 0.5, 0.8], dtype=f64)
    whole = reverse_drift(model, x, t), score(model, x, t), velocity(model, x, t)
    for i in range(3):
        alone = [f(model, x[i : i + 1], t[i]) for f in (reverse_drift, score, velocity)]
        for a, b in zip(whole, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_reverse_drift_is_the_formula(name, eta):
    """f x - (1 + eta^2) / 2 g^2 score."""
    schedule = SCHEDULES[name]
    model, x, t = Exact(MIXTURE, schedule), torch.randn(5, 2, dtype=f64), T(0.4)
    f, g2 = drift(schedule, t), squared_diffusion(schedule, t)
    want = f * x - (1 + eta**2) / 2 * g2 * score(model, x, t)
    torch.testing.assert_close(reverse_drift(model, x, t, eta=eta), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_every_member_of_the_family_has_the_same_moments(name, eta):
    """d/dt of mean and variance on Gaussian data: with its noise, each eta keeps the marginals."""
    schedule, m, v, t = SCHEDULES[name], 0.7, 0.3, T(0.4)
    model = Exact(Mixture(T([1.0]), T([[m]]), v), schedule)
    (alpha, sigma), (d_alpha, d_sigma) = schedule(t), schedule.rates(t)
    mean, variance = alpha * m, alpha**2 * v + sigma**2
    x = torch.stack([mean, mean + 1])[:, None]
    at_mean, beyond = reverse_drift(model, x, t, eta=eta).squeeze(1)
    torch.testing.assert_close(at_mean, d_alpha * m, rtol=1e-9, atol=1e-9)
    # Running down, noise eta^2 g^2 per unit of time is added, so it is subtracted running up.
    growth = 2 * (beyond - at_mean) * variance - eta**2 * squared_diffusion(schedule, t)
    want = 2 * (alpha * d_alpha * v + sigma * d_sigma)
    torch.testing.assert_close(growth, want, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", ["linear", "vp", "ve"])
def test_every_member_of_the_family_has_the_same_density(name, eta):
    """The Fokker-Planck equation on the mixture, by automatic differentiation:

    running down, dp/dt = -div(b p) - eta^2 / 2 g^2 laplacian p.
    """
    schedule, t = SCHEDULES[name], T(0.05 if name == "ve" else 0.4)
    model, points = Exact(MIXTURE, schedule), torch.randn(6, 2, dtype=f64)

    def density(x, time):
        return MIXTURE.log_prob(x, *schedule(time)).exp()

    def flux(x):
        return reverse_drift(model, x, t, eta=eta) * density(x, t)

    for x in points:
        change = torch.func.jvp(lambda time, x=x: density(x, time), (t,), (torch.ones_like(t),))[1]
        divergence = torch.func.jacrev(flux)(x).trace()
        laplacian = torch.func.hessian(lambda y: density(y, t))(x).trace()
        want = -divergence - eta**2 / 2 * squared_diffusion(schedule, t) * laplacian
        torch.testing.assert_close(change, want, rtol=1e-8, atol=1e-8)


def test_score_and_velocity_are_those_of_the_density():
    model, x, t = Exact(MIXTURE, VP()), torch.randn(2, dtype=f64), T(0.3)
    gradient = torch.func.grad(lambda y: MIXTURE.log_prob(y, *VP()(t)))(x)
    torch.testing.assert_close(score(model, x, t), gradient)
    p = model(x, t)
    d_alpha, d_sigma = VP().rates(t)
    torch.testing.assert_close(velocity(model, x, t), d_alpha * p.x0 + d_sigma * p.eps)
