"""Lattices of 25 modes in 8 dimensions, of which one number is measured."""

from dataclasses import dataclass

import torch

from demist.core import Mixture, Normals
from demist.inverse import Dense, GaussianNoise, Measurement
from field.posteriors import f64

LATER = 5.0
"""How many times the noise a measurement has that tells only what is told early."""


@dataclass(frozen=True)
class Kind:
    """A family of lattices; neighbours are sqrt(2) apart.

    Attributes:
        noise: Standard deviation of the measurement's.
        width: Standard deviation of a mode.
        late: How much is told late, at least: total variation between the modes' weights after the
            measurement, and after one that has `LATER` times the noise. Nobody samples for it.
        modes: How many are left, at least: 1 / sum w^2 after the measurement.
    """

    noise: float
    width: float
    late: float = 0.0
    modes: float = 1.0


KINDS = {"hard": Kind(0.05, 512**-0.5, 0.55, 2.0), "any": Kind(0.1, 128**-0.5)}


class Lattice:
    """One of a kind: its prior, a measurement of it and the exact posterior."""

    def __init__(self, kind: Kind, seed: int):
        g = torch.Generator().manual_seed(seed)
        axis = torch.arange(-2.0, 3.0, dtype=f64) / 2**0.5
        means = torch.cartesian_prod(axis, axis).repeat(1, 4)
        weights = torch.rand(25, generator=g, dtype=f64) + 0.2
        self.prior = Mixture(weights, means, kind.width**2)
        full = Normals.of(self.prior)
        while True:
            row = torch.randn((1, 8), generator=g, dtype=f64)
            row = row / row.norm()
            truth = full.sample(1, g)[0]
            y = row @ truth + kind.noise * torch.randn(1, generator=g, dtype=f64)
            self.posterior = full.given(row, y, kind.noise**2)
            early = full.given(row, y, (LATER * kind.noise) ** 2)
            late = (early.weights - self.posterior.weights).abs().sum() / 2
            left = 1 / self.posterior.weights.square().sum()
            if late >= kind.late and left >= kind.modes:
                break
        self.measurement = Measurement(Dense((8,), row), y[None], GaussianNoise(kind.noise))

    def off(self, x: torch.Tensor) -> float:
        """Total variation between the weights of the modes of `x` and the true ones."""
        found = self.posterior.responsibilities(x).mean(0)
        return float((found - self.posterior.weights).abs().sum() / 2)
