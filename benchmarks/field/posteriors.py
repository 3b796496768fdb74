"""Problems whose posterior is known, and how far samples are from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from demist.core import Exact, Linear, Normals, Prediction
from demist.inverse import Dense, GaussianNoise, Measurement

f64 = torch.float64
SCHEDULE = Linear()
DIRECTIONS = 200


@dataclass
class Counted:
    """An exact denoiser that counts rows it is given, and rows differentiated.

    Attributes:
        distribution: What it is exact for.
        rows: States that it was given.
        gradients: States by which it was differentiated.
    """

    distribution: Normals
    schedule: Any = SCHEDULE
    rows: int = 0
    gradients: int = 0

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        self.rows += len(x)
        p = Exact(self.distribution, self.schedule)(x, t)
        if p.x0.requires_grad:
            p.x0.register_hook(self._differentiated)
        return p

    def _differentiated(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)


@dataclass(frozen=True)
class Known:
    """A mixture, a linear measurement of it, and the exact posterior.

    Attributes:
        name: Dimensions, components, measurements, noise.
        prior: The data.
        matrix: `(M, D)`.
        y: `(M,)`.
        std: Of the noise.
    """

    name: str
    prior: Normals
    matrix: Tensor
    y: Tensor
    std: float
    posterior: Normals = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "posterior", self.prior.given(self.matrix, self.y, self.std**2))

    @property
    def measurement(self) -> Measurement:
        """For every row."""
        shape = (self.matrix.shape[1],)
        return Measurement(Dense(shape, self.matrix), self.y[None], GaussianNoise(self.std))

    @property
    def deviation(self) -> float:
        """Of one number of the data."""
        return float(self.prior.sample(4000, torch.Generator().manual_seed(3)).std())

    def judge(self, x: Tensor, seed: int) -> Mapping[str, float]:
        """How far `x` is from the posterior, against as many exact samples of this seed."""
        g = torch.Generator().manual_seed(1000 + seed)
        lost = ~x.isfinite().all(1)
        x = x.clone()
        x[lost] = 1e3
        true = self.posterior.sample(len(x), g)
        lines = torch.randn((x.shape[1], DIRECTIONS), generator=g, dtype=f64)
        lines /= lines.norm(dim=0)
        gap = (x @ lines).sort(0).values - (true @ lines).sort(0).values
        size = self.posterior.sample(4000, g).var(0).sum().sqrt() / math.sqrt(x.shape[1])
        weights = self.posterior.responsibilities(x).mean(0)
        return {
            "w2": float(gap.square().mean().sqrt() / size),
            "modes": float((weights - self.posterior.weights).abs().sum() / 2),
            "spread": float(self._within(x) / self._within(self.posterior.sample(4000, g))),
            "misfit": float(self.measurement.misfit(x).mean()),
        }

    def _within(self, x: Tensor) -> Tensor:
        """Median distance from the mean of the likeliest component."""
        nearest = self.posterior.responsibilities(x).argmax(1)
        return (x - self.posterior.means[nearest]).norm(dim=1).median()


SHAPES = (  # dimensions, components, measurements, noise, width of a component
    (8, 25, 1, 0.1, 0.0), (8, 25, 1, 0.05, 0.3), (2, 5, 1, 0.2, 0.3), (4, 8, 2, 0.05, 0.4),
    (16, 10, 4, 0.1, 0.5), (16, 1, 8, 0.05, 1.0), (32, 4, 16, 0.2, 0.7), (8, 3, 4, 0.02, 0.5),
)  # fmt: skip


def problems() -> list[Known]:
    """Eight mixtures with full covariances; the first is a lattice of 25 modes."""
    found = []
    for i, (d, k, m, std, width) in enumerate(SHAPES):
        g = torch.Generator().manual_seed(700 + i)
        weights = torch.rand(k, generator=g, dtype=f64) + 0.2
        if width:
            means = torch.randn((k, d), generator=g, dtype=f64) * (k > 1)
            root = width * torch.randn((k, d, d), generator=g, dtype=f64) / math.sqrt(d)
            covariances = root @ root.mT + 0.1 * width**2 * torch.eye(d, dtype=f64)
        else:
            axis = torch.arange(-2.0, 3.0, dtype=f64) / math.sqrt(2)
            means = torch.cartesian_prod(axis, axis).repeat(1, d // 2)
            covariances = torch.eye(d, dtype=f64).expand(k, d, d) / 128
        prior = Normals(weights, means, covariances)
        matrix = torch.randn((m, d), generator=g, dtype=f64) / math.sqrt(d)
        truth = prior.sample(1, g)[0]
        y = matrix @ truth + std * torch.randn(m, generator=g, dtype=f64)
        found.append(Known(f"{d}d, {k} modes, {m} of noise {std:g}", prior, matrix, y, std))
    return found
