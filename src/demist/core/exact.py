"""Ground truth: data distributions that know their density, score and posterior at any noise level.

A distribution sees the corruption `x = alpha x0 + sigma eps` through the two scales only, so it
serves every schedule, from pure noise (alpha = 0) to clean data (sigma = 0). `Exact` makes a
denoiser of it: the best possible network, for tests, documentation and tutorials.
"""

import abc
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from demist.core.prediction import Prediction
from demist.core.schedule import Schedule
from demist.core.state import left


class Distribution(abc.ABC):
    """Data `x0` of shape `(D,)` whose corruptions have closed forms."""

    @abc.abstractmethod
    def posterior(
        self, x: Float[Tensor, "*B D"], alpha: Tensor, sigma: Tensor
    ) -> tuple[Float[Tensor, "*B D"], Float[Tensor, "*B D"]]:
        """`(E[x0 | x], E[eps | x])`; `alpha` and `sigma` broadcast with `x`."""

    @abc.abstractmethod
    def log_prob(
        self, x: Float[Tensor, "*B D"], alpha: Tensor | float = 1.0, sigma: Tensor | float = 0.0
    ) -> Float[Tensor, "*B"]:
        """Log-density of `x = alpha x0 + sigma eps`, in nats; by default of clean data."""

    @abc.abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n D"]:
        """`n` independent clean samples."""


class Mixture(Distribution):
    """A mixture of K Gaussians with diagonal covariances; K = 1 is a Gaussian.

    Args:
        weights: Shape `(K,)`, positive; normalised to sum to one.
        means: Shape `(K, D)`.
        variances: Shape `(K, D)`, `(K, 1)` or `()`, at least 0. With 0 everywhere the data is the
            finite set of points `means` (see `points`).
    """

    def __init__(
        self,
        weights: Float[Tensor, " K"],
        means: Float[Tensor, "K D"],
        variances: Tensor | float,
    ):
        if not (weights > 0).all() or not (torch.as_tensor(variances) >= 0).all():
            raise ValueError("a mixture needs positive weights and variances of at least 0")
        self.weights = weights / weights.sum()
        self.means = means
        self.variances = torch.as_tensor(variances, dtype=means.dtype).to(means).expand_as(means)

    def posterior(
        self, x: Float[Tensor, "*B D"], alpha: Tensor, sigma: Tensor
    ) -> tuple[Float[Tensor, "*B D"], Float[Tensor, "*B D"]]:
        from_mean, total, log_joint = self._components(x, alpha, sigma)
        r = log_joint.softmax(-1)[..., None]
        a, s = _outer(alpha, x), _outer(sigma, x)
        x0 = (r * (self.means + a * self.variances / total * from_mean)).sum(-2)
        return x0, (r * (s / total * from_mean)).sum(-2)

    def log_prob(
        self, x: Float[Tensor, "*B D"], alpha: Tensor | float = 1.0, sigma: Tensor | float = 0.0
    ) -> Float[Tensor, "*B"]:
        a, s = torch.as_tensor(alpha).to(x), torch.as_tensor(sigma).to(x)
        return self._components(x, a, s)[2].logsumexp(-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n D"]:
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn((n, self.means.shape[1]), generator=generator, dtype=self.means.dtype)
        return self.means[k] + self.variances[k].sqrt() * z

    def _components(
        self, x: Float[Tensor, "*B D"], alpha: Tensor, sigma: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Per component: x - alpha m_k and total variance, `(*B, K, D)`; log joint, `(*B, K)`."""
        a, s = _outer(alpha, x), _outer(sigma, x)
        from_mean = x[..., None, :] - a * self.means
        total = a**2 * self.variances + s**2
        log_normal = -0.5 * (from_mean**2 / total + (2 * math.pi * total).log()).sum(-1)
        return from_mean, total, self.weights.log() + log_normal


class Normal(Distribution):
    """A Gaussian with full covariance, whose probability flow is known in closed form too.

    Args:
        mean: Shape `(D,)`.
        covariance: Shape `(D, D)`, symmetric, positive semi-definite.
    """

    def __init__(self, mean: Float[Tensor, " D"], covariance: Float[Tensor, "D D"]):
        self.mean = mean
        values: Tensor
        self._axes: Tensor
        values, self._axes = torch.linalg.eigh(covariance)
        if values.min() < -1e-9 * values.abs().max():
            raise ValueError(
                f"the covariance has eigenvalue {float(values.min()):.3g}; none may be negative"
            )
        self._inner = Mixture(
            torch.ones_like(mean[:1]), torch.zeros_like(mean)[None], values.relu()
        )

    def posterior(
        self, x: Float[Tensor, "*B D"], alpha: Tensor, sigma: Tensor
    ) -> tuple[Float[Tensor, "*B D"], Float[Tensor, "*B D"]]:
        x0, eps = self._inner.posterior(self._turned(x, alpha), alpha, sigma)
        return self.mean + x0 @ self._axes.T, eps @ self._axes.T

    def log_prob(
        self, x: Float[Tensor, "*B D"], alpha: Tensor | float = 1.0, sigma: Tensor | float = 0.0
    ) -> Float[Tensor, "*B"]:
        return self._inner.log_prob(self._turned(x, torch.as_tensor(alpha)), alpha, sigma)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n D"]:
        return self.mean + self._inner.sample(n, generator) @ self._axes.T

    def flow(
        self, x: Float[Tensor, "*B D"], start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "*B D"]:
        """Where the probability-flow ODE carries `x` between two pairs `(alpha, sigma)`.

        Each eigen-direction keeps its number of standard deviations from the mean.
        """
        (a, s), (a_end, s_end) = start, end
        variances = self._inner.variances[0]
        scale = ((a_end**2 * variances + s_end**2) / (a**2 * variances + s**2)).sqrt()
        return a_end * self.mean + (scale * self._turned(x, a)) @ self._axes.T

    def _turned(self, x: Tensor, alpha: Tensor) -> Tensor:
        return (x - alpha * self.mean) @ self._axes


def points(x: Float[Tensor, "N D"]) -> Mixture:
    """The finite data set `x`, all points equally likely: its denoiser memorises."""
    return Mixture(torch.ones_like(x[:, 0]), x, 0.0)


@dataclass(frozen=True)
class Exact:
    """The optimal denoiser of a known distribution under any schedule."""

    distribution: Distribution
    schedule: Schedule

    def __call__(self, x: Float[Tensor, "*B D"], t: Tensor, **cond: Any) -> Prediction:
        alpha, sigma = (left(c, x) for c in self.schedule(t))
        return Prediction(*self.distribution.posterior(x, alpha, sigma), alpha, sigma)


def _outer(c: Tensor, x: Tensor) -> Tensor:
    """A coefficient that broadcasts with `x: (*B, D)`, made to broadcast with `(*B, K, D)`."""
    return c[..., None, :] if c.ndim == x.ndim else c
