"""Mixtures of Gaussians with full covariances: the exact answer to every linear measurement."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from demist.core.exact import Distribution, Mixture


class Normals(Distribution):
    """A mixture of K Gaussians with full covariances.

    What remains possible of it after a linear measurement with Gaussian noise is again such a
    mixture, `given`. `Exact(normals.given(...), schedule)` is thus the denoiser that every method
    of posterior sampling tries to be.

    Args:
        weights: Shape `(K,)`, positive; normalised to sum to one.
        means: Shape `(K, D)`.
        covariances: Shape `(K, D, D)`, symmetric, positive semi-definite.

    Raises:
        ValueError: If a weight is not positive, or a covariance has a negative eigenvalue.
    """

    def __init__(
        self,
        weights: Float[Tensor, " K"],
        means: Float[Tensor, "K D"],
        covariances: Float[Tensor, "K D D"],
    ):
        if not (weights > 0).all():
            raise ValueError(f"weights must be positive, the smallest is {float(weights.min()):g}")
        values: Tensor
        self._axes: Tensor
        values, self._axes = torch.linalg.eigh(covariances)
        if values.min() < -1e-9 * values.abs().max():
            raise ValueError(
                f"a covariance has eigenvalue {float(values.min()):.3g}; none may be negative"
            )
        self.weights = weights / weights.sum()
        self.means = means
        self.covariances = covariances
        self._variances = values.relu()

    @classmethod
    def of(cls, mixture: Mixture) -> "Normals":
        """The same mixture, without its covariances being known as diagonal."""
        return cls(mixture.weights, mixture.means, torch.diag_embed(mixture.variances))

    def given(
        self, matrix: Float[Tensor, "M D"], y: Float[Tensor, " M"], variance: Tensor | float
    ) -> "Normals":
        """What this is once `y = matrix x0 + noise` has been measured.

        Args:
            matrix: The measurement.
            y: What it gave.
            variance: Of the noise, positive; `()` or `(M,)`.
        """
        gain = self.covariances @ matrix.T
        noise = torch.as_tensor(variance, dtype=y.dtype).to(y).expand_as(y)
        total = torch.linalg.cholesky(matrix @ gain + noise.diag())
        residual = (y - self.means @ matrix.T)[..., None]
        solved = torch.cholesky_solve(residual, total)
        fit = -0.5 * (residual * solved).sum((-2, -1)) - total.diagonal(dim1=-2, dim2=-1).log().sum(
            -1
        )
        covariances = self.covariances - gain @ torch.cholesky_solve(gain.mT, total)
        return Normals(
            (self.weights.log() + fit).softmax(-1).clamp(min=torch.finfo(y.dtype).tiny),
            self.means + (gain @ solved)[..., 0],
            (covariances + covariances.mT) / 2,
        )

    def responsibilities(
        self, x: Float[Tensor, "*B D"], alpha: Tensor | float = 1.0, sigma: Tensor | float = 0.0
    ) -> Float[Tensor, "*B K"]:
        """How probably each component made `x = alpha x0 + sigma eps`; by default clean data."""
        a, s = torch.as_tensor(alpha).to(x), torch.as_tensor(sigma).to(x)
        return self._components(x, a, s)[2].softmax(-1)

    def posterior(
        self, x: Float[Tensor, "*B D"], alpha: Tensor, sigma: Tensor
    ) -> tuple[Float[Tensor, "*B D"], Float[Tensor, "*B D"]]:
        turned, total, log_joint = self._components(x, alpha, sigma)
        r = log_joint.softmax(-1)[..., None]
        a, s = _outer(alpha, x), _outer(sigma, x)
        x0 = (r * (self.means + self._back(a * self._variances / total * turned))).sum(-2)
        return x0, (r * self._back(s / total * turned)).sum(-2)

    def log_prob(
        self, x: Float[Tensor, "*B D"], alpha: Tensor | float = 1.0, sigma: Tensor | float = 0.0
    ) -> Float[Tensor, "*B"]:
        a, s = torch.as_tensor(alpha).to(x), torch.as_tensor(sigma).to(x)
        return self._components(x, a, s)[2].logsumexp(-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n D"]:
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn((n, self.means.shape[1]), generator=generator, dtype=self.means.dtype)
        roots = self._axes * self._variances.sqrt()[:, None, :]
        return self.means[k] + (roots[k] @ z[..., None])[..., 0]

    def _components(
        self, x: Float[Tensor, "*B D"], alpha: Tensor, sigma: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Per component, along its axes: x - alpha m and total variance; the log joint."""
        a, s = _outer(alpha, x), _outer(sigma, x)
        turned = torch.einsum("...kd,kde->...ke", x[..., None, :] - a * self.means, self._axes)
        total = a**2 * self._variances + s**2
        log_normal = -0.5 * (turned**2 / total + (2 * math.pi * total).log()).sum(-1)
        return turned, total, self.weights.log() + log_normal

    def _back(self, turned: Tensor) -> Tensor:
        return torch.einsum("...ke,kde->...kd", turned, self._axes)


def _outer(c: Tensor, x: Tensor) -> Tensor:
    """A coefficient that broadcasts with `x: (*B, D)`, made to broadcast with `(*B, K, D)`."""
    return c[..., None, :] if c.ndim == x.ndim else c
