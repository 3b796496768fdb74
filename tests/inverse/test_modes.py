"""Weights of modes and spread of samples, against exact posteriors of mixtures."""

import pytest
import torch

from demist.core import Exact, Gaussian, Linear, Normals
from demist.inverse import Dense, GaussianNoise, Measurement, make_method
from demist.samplers import make_solver, smooth
from truth import f64


class Problem:
    """One number measured of 25 modes in 8 dimensions, on a lattice."""

    def __init__(self, seed, std=0.1):
        g = torch.Generator().manual_seed(seed)
        lattice = torch.cartesian_prod(*[torch.arange(-2.0, 3.0, dtype=f64)] * 2).repeat(1, 4)
        weights = torch.rand(25, generator=g, dtype=f64) + 0.2
        size = (1 / 128) * torch.eye(8, dtype=f64).expand(25, 8, 8)
        self.prior = Normals(weights, lattice / 2**0.5, size)
        row = torch.randn(1, 8, generator=g, dtype=f64)
        row = row / row.norm()
        y = self.prior.sample(1, g)[0] @ row.T + std * torch.randn(1, generator=g, dtype=f64)
        self.measurement = Measurement(Dense((8,), row), y[None], GaussianNoise(std))
        self.posterior = self.prior.given(row, y, std**2)

    def sample(self, spec, n, steps, solver="ddim:eta=1", model=None):
        g = torch.Generator().manual_seed(1)
        x = torch.randn(n, 8, generator=g, dtype=f64)
        *_, last = make_method(spec).trajectory(
            model or Exact(self.prior, Linear()), self.measurement, x, smooth(steps, Linear()),
            make_solver(solver), Gaussian(g),
        )  # fmt: skip
        return last.x

    def off(self, x):
        """Total variation between the weights of the modes of samples and the true ones."""
        found = self.posterior.responsibilities(x).mean(0)
        return float((found - self.posterior.weights).abs().sum() / 2)


@pytest.mark.slow
def test_mmps_with_langevin_weighs_the_modes():
    problem = Problem(8)
    exact = Exact(problem.posterior, Linear())
    assert problem.off(problem.sample("prior", 500, 32, model=exact)) < 0.1
    assert problem.off(problem.sample("mmps-langevin", 500, 32)) < 0.15
    assert problem.off(problem.sample("pigdm", 500, 32)) > 0.4

    def misfit(x):  # the step of DPS is tuned until its residual fits the noise
        return abs(float(problem.measurement.misfit(x).mean().log()))

    scales = (0.05, 0.1, 0.2, 0.4, 0.8)
    tuned = min((problem.sample(f"dps:scale={scale}", 500, 32) for scale in scales), key=misfit)
    assert problem.off(tuned) > 0.4


def test_langevin_steps_mend_the_weights_of_a_few_modes():
    problem = Problem(8)
    assert problem.off(problem.sample("mmps-langevin:n=2", 150, 16)) < 0.2
    assert problem.off(problem.sample("pigdm", 150, 16)) > 0.4


@pytest.mark.parametrize("seed", [8, 10])
def test_spread_of_mmps(seed):
    problem = Problem(seed)
    true = problem.posterior.sample(4000, torch.Generator().manual_seed(2))

    def within(x):
        """Median distance from the nearest mode."""
        nearest = problem.posterior.responsibilities(x).argmax(1)
        return (x - problem.posterior.means[nearest]).norm(dim=1).median()

    ode, sde = (problem.sample("mmps", 400, 32, name) for name in ("adams", "ddim:eta=1"))
    assert 0.9 < float(within(ode) / within(true)) < 1.1
    assert 0.9 < float((sde.var(0).sum() / true.var(0).sum()).sqrt()) < 1.1
