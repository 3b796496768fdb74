"""Loss-guided diffusion: the likelihood averaged over draws of what x_t leaves open."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from demist.core import Model, keyed_normal
from demist.errors import UsageError
from demist.inverse.measurement import Measurement
from demist.inverse.method import Guided
from demist.inverse.tangent import Led, Tangent


@dataclass(frozen=True)
class LGD(Guided):
    """The likelihood of y given x_t is its mean over `n` draws of `N(x0_hat, r^2 I)`.

        x0_hat += C d/dx0 log mean_i p(y | x0_hat + r z_i),    C = (sigma^2 / alpha) J'

    with the r of `PiGDM`. The draws are the same for all samples and others at each time.

    Exact on Gaussians with covariance `std^2 I` as n grows (test_lgd_tends_to_pigdm); it needs
    neither a linear operator nor Gaussian noise, whose own likelihood it takes. One evaluation, one
    gradient, and `n` measurements each time the solver asks. The more numbers are measured and the
    smaller their noise, the more one draw decides, and the larger and noisier the gradient: for a
    few numbers, or for large noise.

    References:
        Song et al. 2023, "Loss-Guided Diffusion Models for Plug-and-Play Controllable Generation",
        ICML, eq. 12.

    Attributes:
        n: How many draws, in pairs z and -z.
        std: Standard deviation of one number of the data.
        seed: Of the draws.
    """

    name: ClassVar[str] = "lgd"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    noisy: ClassVar[bool] = True
    n: int = 32
    std: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 2 or self.n % 2 or not self.std > 0:
            raise UsageError(
                f"lgd has n = {self.n} and std = {self.std:g}; give an even number of draws, which "
                f"come in pairs, and the deviation of the data, above 0"
            )

    def wrap(self, model: Model, measurement: Measurement) -> Model:
        """See `Guided`."""
        return Led(model, measurement, self.shift)

    def shift(self, at: Tangent) -> Tensor:
        """What the measurement adds to the predicted data."""
        p, m = at.prediction, at.measurement
        r = self.std * p.sigma / (p.alpha**2 * self.std**2 + p.sigma**2).sqrt()
        z = torch.stack([self._draws(float(t), p.x0) for t in at.t.reshape(-1)], 1)
        with torch.enable_grad():
            x0 = p.x0.detach().requires_grad_()
            several = (x0 + r * torch.cat([z, -z])).flatten(0, 1)
            y = m.y.expand(len(x0), *m.y.shape[1:]).repeat(self.n, *[1] * (m.y.ndim - 1))
            clean = m.operator.forward(several)
            log_p = m.noise.log_likelihood(y, clean).reshape(self.n, -1)
            (slope,) = torch.autograd.grad(log_p.logsumexp(0).sum(), x0)
        return at.covariance(slope)

    def _draws(self, t: float, like: Tensor) -> Tensor:
        """Half of the draws, `(n / 2, ...)`: a function of the time alone."""
        drawn = keyed_normal(f"lgd/{self.seed}/{t!r}", (self.n // 2, *like.shape[1:]))
        return torch.from_numpy(drawn).to(like)
