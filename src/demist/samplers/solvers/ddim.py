"""DDIM and DDPM: one formula from deterministic to ancestral."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class DDIM(Solver):
    """Hold (x0, eps) fixed and move along the line between them.

        x_s = alpha_s x0 + sqrt(sigma_s^2 - eta^2 v) eps + eta sqrt(v) z,     v = beta-tilde

    With eta = 0 this is DDIM, which is Euler's method for EDM's ODE (alpha = 1) and for rectified
    flow (alpha + sigma = 1) too. With eta = 1 it is DDPM's ancestral step, for any pair of times; a
    learned variance (`Prediction.spread`) then replaces v in the last term.

    One evaluation per step. Robust at any number of steps; for few steps prefer a solver of second
    order.

    References:
        Song, Meng & Ermon 2020, "Denoising Diffusion Implicit Models", arXiv:2010.02502, eqs. 12
        and 16; Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, eq. 7;
        Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 15 (learned variance).

    Attributes:
        eta: 0 is deterministic, 1 ancestral; in between as in DDIM.
    """

    name = "ddim"
    order = 1
    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(
                f"eta must be between 0 (deterministic) and 1 (ancestral), got {self.eta}"
            )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """True unless eta = 0."""
        return self.eta > 0

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        if self.eta == 0 or s == 0:
            return combine((alpha, sigma), (p.x0, p.eps)), None
        small, large = ancestral_variances((p.alpha, p.sigma), (alpha, sigma))
        kept = (sigma**2 - self.eta**2 * small).clamp(min=0).sqrt()
        if p.spread is None:
            std = small.sqrt()
        else:
            std = torch.exp(0.5 * (small.log() + p.spread * (large.log() - small.log())))
        return alpha * p.x0 + kept * p.eps + (self.eta * std) * noise(x), None


def ancestral_variances(
    at_t: tuple[Tensor, Tensor], at_s: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """The two bounds on the variance of q(x_s | x_t), for any pair of times s < t.

    Args:
        at_t: `(alpha, sigma)` at the noisier time.
        at_s: `(alpha, sigma)` at the cleaner time.

    Returns:
        beta-tilde, exact where x0 is known (Ho et al. 2020, eq. 7), and beta, exact for white-noise
        data: the variance that the forward process adds from s to t.
    """
    (a_t, g_t), (a_s, g_s) = at_t, at_s
    forward = g_t**2 - (a_t / a_s * g_s) ** 2
    return forward * (g_s / g_t) ** 2, forward
