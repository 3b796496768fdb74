"""Tweedie moment projected diffusion: the covariance of the measurement as a diagonal."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from demist.core import Model
from demist.inverse.measurement import Measurement
from demist.inverse.method import Guided
from demist.inverse.tangent import Led, Tangent


@dataclass(frozen=True)
class TMPD(Guided):
    """The covariance of the measurement given x_t is taken as the diagonal of its row sums.

        x0_hat += C A' (y - A x0_hat) / (A C A' 1 + noise),    C = (sigma^2 / alpha) J'

    Exact on Gaussians with one measured number (test_tmpd_is_exact_with_one_measurement), or where
    A C A' is diagonal. One evaluation and two gradients each time the solver asks. Row sums of
    numbers that vary together count what they share several times, so that it pulls too little;
    negative ones, which no variance is, are taken as 0. Nonlinear operators and Poisson noise as
    in `PiGDM`.

    References:
        Boys et al. 2023, "Tweedie Moment Projected Diffusions for Inverse Problems",
        arXiv:2310.06721, section 3.
    """

    name: ClassVar[str] = "tmpd"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    noisy: ClassVar[bool] = True

    def wrap(self, model: Model, measurement: Measurement) -> Model:
        """See `Guided`."""
        return Led(model, measurement, _shift)


def _shift(at: Tangent) -> Tensor:
    residual = at.residual
    sums = at.spread(torch.ones_like(residual)).clamp(min=0)
    return at.explained(residual / (sums + at.variance))
