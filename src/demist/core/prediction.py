"""What a denoiser believes at (x_t, t)."""

from dataclasses import dataclass, replace

from torch import Tensor

from demist.core.state import State


@dataclass(frozen=True)
class Prediction:
    """Both ends of the line through `x_t`. Invariant: `x_t == alpha * x0 + sigma * eps`.

    Every method keeps the invariant, so it is a law and not a flag.

    Attributes:
        x0: Expected clean data E[x0 | x_t], shape of `x_t`.
        eps: Expected noise E[eps | x_t], shape of `x_t`.
        alpha: Signal scale, aligned with `x_t` from the left.
        sigma: Noise scale, likewise.
        spread: Learned variance of the ancestral step as a fraction between log beta-tilde (0) and
            log beta (1), shape of `x_t` (Nichol & Dhariwal 2021, eq. 15); None if not learned.
    """

    x0: State
    eps: State
    alpha: Tensor
    sigma: Tensor
    spread: State | None = None

    @property
    def score(self) -> State:
        """Gradient of log p_t at x_t: -eps / sigma (Song et al. 2021; Efron's identity)."""
        return (-1 / self.sigma) * self.eps

    def velocity(self, rates: tuple[Tensor, Tensor]) -> State:
        """dx/dt of the probability-flow ODE: alpha' x0 + sigma' eps."""
        d_alpha, d_sigma = rates
        return d_alpha * self.x0 + d_sigma * self.eps

    def lerp(self, other: "Prediction", w: Tensor | float) -> "Prediction":
        """`self + w (other - self)`, guidance: weights sum to one, so x_t stays."""
        return replace(
            self,
            x0=self.x0 + w * (other.x0 - self.x0),
            eps=self.eps + w * (other.eps - self.eps),
        )

    def with_x0(self, x0: State) -> "Prediction":
        """Replace x0 (clamp, threshold, measurement); eps follows, so that x_t stays."""
        return replace(self, x0=x0, eps=self.eps + (self.alpha / self.sigma) * (self.x0 - x0))

    def add_score(self, gradient: State) -> "Prediction":
        """Add `gradient` to the score (Dhariwal & Nichol 2021, algorithm 2); needs alpha > 0."""
        return replace(
            self,
            x0=self.x0 + (self.sigma**2 / self.alpha) * gradient,
            eps=self.eps - self.sigma * gradient,
        )
