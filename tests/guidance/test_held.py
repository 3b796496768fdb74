"""Given parts stay what they are, and the rest follows the exact conditional law."""

import pytest
import torch

from demist.core import Denoiser, Gaussian, Linear, Prediction, Velocity, left
from demist.guidance import Held
from demist.networks import MLP
from demist.samplers import SOLVERS, make_solver, sample, smooth
from truth import T, f64

F = 5
AT = torch.linspace(0, 1, F, dtype=f64)
MEAN = torch.sin(3 * AT)
COVARIANCE = torch.exp(-((AT[:, None] - AT) ** 2) / 0.1) + 0.05 * torch.eye(F, dtype=f64)
ANEW = T([0.0, 1.0, 1.0, 0.0, 1.0])
GIVEN = T([0.6, 0.0, 0.0, -0.4, 0.0])


class Process:
    """The exact denoiser of a Gaussian process, for times per part: x `(B, F)`, t `(B, F)`."""

    schedule = Linear()

    def __call__(self, x, t, **cond):
        alpha, sigma = (left(c, x).expand(x.shape) for c in self.schedule(t))
        a, s = alpha.double(), sigma.double()
        total = a[:, :, None] * COVARIANCE * a[:, None] + torch.diag_embed(s**2)
        off = (x.double() - a * MEAN)[..., None]
        solved = torch.linalg.solve(total, off)[..., 0]
        x0 = MEAN + (COVARIANCE @ (a * solved)[..., None])[..., 0]
        return Prediction(x0.to(x), (s * solved).to(x), alpha.to(x), sigma.to(x))


def conditional():
    given, new = ANEW == 0, ANEW == 1
    k = COVARIANCE[new][:, given] @ torch.linalg.inv(COVARIANCE[given][:, given])
    mean = MEAN[new] + k @ (GIVEN - MEAN)[given]
    return mean, COVARIANCE[new][:, new] - k @ COVARIANCE[given][:, new]


def held(solver, n, steps):
    z = torch.randn(n, F, generator=torch.Generator().manual_seed(0))
    # Of exact mean and covariance, which a linear flow carries on.
    z = z - z.mean(0)
    z = z @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(z.T, correction=0))).T
    model = Held(Process(), GIVEN.float().expand(n, F), ANEW)
    noise = Gaussian(torch.Generator().manual_seed(1))
    return sample(model, z, smooth(steps, Linear()), solver, noise)


@pytest.mark.parametrize("name", SOLVERS.names())
def test_given_parts_end_exactly_and_the_rest_is_right(name):
    solver = make_solver(name)
    x = held(solver, n=32, steps=60)
    assert (x - GIVEN)[:, ANEW == 0].abs().max() <= 1e-5
    if solver.order >= 2 and not solver.stochastic:
        require_conditional(x, 0.01, 0.03)


@pytest.mark.parametrize("name", ["ddpm", "sde-adams"])
def test_with_noise_too(name):
    x = held(make_solver(name), n=4000, steps=60)
    require_conditional(x, 0.05, 0.08)


def require_conditional(x, mean_within, covariance_within):
    mean, covariance = conditional()
    found = x[:, ANEW == 1].double()
    assert (found.mean(0) - mean).abs().max() < mean_within
    assert (torch.cov(found.T, correction=0) - covariance).abs().max() < covariance_within


def test_the_network_is_told_the_time_of_every_part():
    seen = {}

    class Spy(Process):
        def __call__(self, x, t, **cond):
            seen.update(x=x, t=t)
            return super().__call__(x, t, **cond)

    x = torch.randn(2, F, dtype=f64)
    p = Held(Spy(), GIVEN.expand(2, F), ANEW)(x, T(0.7))
    assert torch.equal(seen["t"], (0.7 * ANEW).expand(2, F))
    assert torch.equal(seen["x"], torch.where(ANEW == 1, x, GIVEN))
    torch.testing.assert_close(p.alpha * p.x0 + p.sigma * p.eps, x)
    each = Held(Spy(), GIVEN.expand(2, F), ANEW)(x, T([0.7, 0.2]))
    assert torch.equal(seen["t"], T([0.7, 0.2])[:, None] * ANEW)
    torch.testing.assert_close(each.x0[0], p.x0[0])


def test_a_network_that_knows_one_time_refuses():
    denoiser = Denoiser(MLP(features=F, out_features=F, width=8, depth=1), Linear(), Velocity())
    with pytest.raises(ValueError, match=r"MLP knows one time per sample.*\(2, 5\)"):
        Held(denoiser, torch.zeros(2, F), ANEW)(torch.zeros(2, F), T(0.5))
