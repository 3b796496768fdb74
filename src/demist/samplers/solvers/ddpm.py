"""DDPM's ancestral sampling, with its three variances."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Model, Noise, Prediction, State
from demist.samplers.solver import Solver
from demist.samplers.solvers.ddim import ancestral_variances


@dataclass(frozen=True)
class DDPM(Solver):
    """Draw x_s from the posterior of the forward process, given the predicted x0.

        x_s = alpha_s x0 + sqrt(sigma_s^2 - beta-tilde) eps + std z

    for any pair of times, not only neighbours on a table. `std^2` is a choice between two bounds
    that meet as steps shrink: beta-tilde, the exact variance if x0 is known (the data one point),
    and beta, exact if the data is white noise. In few steps beta gives too much noise.

    One evaluation per step, weak order 1. For reproducing DDPM, from 100 steps up; `sde-dpmpp-2m`
    is of second order at the same cost.

    References:
        Ho et al. 2020, "Denoising Diffusion Probabilistic Models", arXiv:2006.11239, algorithm 2
        and section 3.2; Nichol & Dhariwal 2021, "Improved DDPM", arXiv:2102.09672, eq. 15.

    Attributes:
        variance: "small" (beta-tilde), "large" (beta), or "learned": between the two, where the
            model says (`Prediction.spread`).

    Raises:
        ValueError: For another variance, or a learned one that the model did not learn.
    """

    name = "ddpm"
    order = 1
    stochastic = True
    variance: str = "small"

    def __post_init__(self) -> None:
        if self.variance not in ("small", "large", "learned"):
            raise ValueError(
                f"the variance is one of small, large, learned; there is no {self.variance!r}"
            )

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        if s == 0:
            return alpha * p.x0 + sigma * p.eps, None
        small, large = ancestral_variances((p.alpha, p.sigma), (alpha, sigma))
        kept = (sigma**2 - small).clamp(min=0).sqrt()
        mean = alpha * p.x0 + kept * p.eps
        if self.variance == "learned":
            log_small, spread = small.log(), self._spread(p)
            std = torch.exp(0.5 * (log_small + spread * (large.log() - log_small)))
        else:
            std = (small if self.variance == "small" else large).sqrt()
        return mean + std * noise(x), None

    def _spread(self, p: Prediction) -> State:
        if p.spread is None:
            raise ValueError(
                "variance='learned' needs a model that predicts its variance, and this one does "
                "not; use variance='small' or 'large', or train with learn_variance"
            )
        return p.spread
