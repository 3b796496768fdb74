"""Pseudoinverse-guided diffusion: what x_t leaves open of the data is taken as isotropic."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from demist.core import Model
from demist.errors import UsageError
from demist.inverse.conjugate import conjugate_gradients
from demist.inverse.measurement import Measurement
from demist.inverse.method import Guided
from demist.inverse.tangent import Led, Tangent


@dataclass(frozen=True)
class PiGDM(Guided):
    """The data given x_t is `N(x0_hat, r^2 I)`, with the r of data of standard deviation `std`.

        r^2 = std^2 sigma^2 / (alpha^2 std^2 + sigma^2)
        x0_hat += C A' (r^2 A A' + noise)^-1 (y - A x0_hat),    C = (sigma^2 / alpha) J'

    Exact on Gaussians with covariance `std^2 I` (test_pigdm_is_exact_on_isotropic_gaussians). One
    evaluation and one gradient each time the solver asks. On data of several modes it weighs them
    wrongly (test_mmps_with_langevin_weighs_the_modes); where data varies less than `std` it
    pulls too little, where it varies more too much. Nonlinear operators are taken as linear at the
    predicted data; of Poisson noise the variance there.

    References:
        Song et al. 2023, "Pseudoinverse-Guided Diffusion Models for Inverse Problems", ICLR,
        eq. 7 and 8; its r is that of std = 1. The weight r^2 of its algorithm 1 is left out.

    Attributes:
        std: Standard deviation of one number of the data.
    """

    name: ClassVar[str] = "pigdm"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    std: float = 1.0

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise UsageError(f"std is {self.std:g}; the data's deviation must be above 0")

    def wrap(self, model: Model, measurement: Measurement) -> Model:
        """See `Guided`."""
        return Led(model, measurement, self.shift)

    def shift(self, at: Tangent) -> Tensor:
        """What the measurement adds to the predicted data."""
        return at.explained(_isotropic(at, self.std))


def _isotropic(at: Tangent, std: float) -> Tensor:
    """`(r^2 A A' + noise)^-1 (y - A x0_hat)`; where that is singular, the pseudo-inverse."""
    alpha, sigma = at.prediction.alpha, at.prediction.sigma
    spread = std**2 * sigma**2 / (alpha**2 * std**2 + sigma**2)
    y, variance = at.residual, at.variance
    if variance.ndim == 0 and spread.numel() in (1, len(y)):
        return at.operator.solve(y, spread.expand(len(y), *spread.shape[1:]).flatten(), variance)
    operator = at.operator
    return conjugate_gradients(
        lambda u: operator.forward(spread * operator.adjoint(u)) + variance * u, y
    )
