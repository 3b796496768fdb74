"""Data drawn given the measurement at every level, and noised anew from there."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Model, Noise
from demist.inverse.anew import Anew
from demist.inverse.measurement import Measurement
from demist.inverse.near import sample_near
from demist.samplers import Adams, Solver

_WIDEST = 100.0
"""Largest sigma / alpha that counts, in the unit of the data: the paper's largest level."""


@dataclass(frozen=True)
class DAPS(Anew):
    """Decoupled annealing: solve the flow to the data, draw near it given y, add new noise.

    In each step `inner` steps of `adams` go down to data x0_hat; then x0 is drawn from
    N(x0_hat, (sigma / alpha)^2) p(y | x0), exactly for linear operators and by `langevin` steps
    else; then x_s = alpha x0 + sigma z. Consecutive states share nothing but x0, so that errors of
    early levels are forgotten.

    Exact nowhere: the data given x_t are taken to be as uncertain as sigma / alpha, too much where
    the prior is narrow, and the noise of both draws adds up, so that the spread is too large
    (`test_daps_is_too_wide`). `inner` evaluations per step, no gradients of the model. The caller's
    solver is left aside.

    References:
        Zhang et al. 2024, "Improving Diffusion Inverse Problem Solving with Decoupled Noise
        Annealing", arXiv:2407.01521, algorithm 1 and eq. 8.
    """

    name: ClassVar[str] = "daps"

    def step(
        self,
        measurement: Measurement,
        solver: Solver,
        model: Model,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        memory: Any,
        noise: Noise,
    ) -> tuple[Tensor, None]:
        """See `Stepped`."""
        alpha, sigma = model.schedule(t)
        x0 = self.walked(model, x, t, Adams(), noise)
        level = torch.clamp(sigma / alpha, max=_WIDEST)
        x0 = sample_near(measurement, x0, level**2, noise, self.langevin)
        alpha, sigma = model.schedule(s)
        return alpha * x0 + sigma * noise(x) if s > 0 else alpha * x0, None
