"""Moment matching posterior sampling: the covariance of the data given x_t, by its Jacobian."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from demist.core import Model
from demist.errors import UsageError
from demist.inverse.measurement import Measurement
from demist.inverse.method import Guided
from demist.inverse.residuals import conjugate_residuals
from demist.inverse.tangent import Led, Tangent


@dataclass(frozen=True)
class MMPS(Guided):
    """The data given x_t is `N(x0_hat, C)`, with the covariance that the denoiser itself implies.

        x0_hat += C A' (A C A' + noise)^-1 (y - A x0_hat),    C = (sigma^2 / alpha) J'

    solved until the residual of each sample is below `tolerance`, by conjugate residuals, which
    stand that a learned Jacobian is not symmetric and stop where it is not positive.

    Exact on every Gaussian, at every time (test_mmps_is_exact_on_gaussians), with the spread right
    on mixtures too (test_spread_of_mmps). One evaluation, and a gradient for each iteration and one
    more, each time the solver asks. On data of several modes the Gaussian approximation weighs them
    wrongly, less so than others do; `mmps-langevin` mends it. Nonlinear operators are taken as
    linear at the predicted data; of Poisson noise the variance there.

    References:
        Rozet et al. 2024, "Learning Diffusion Priors from Observations by Expectation
        Maximization", arXiv:2405.13712, eq. 18 and algorithm 2.

    Attributes:
        tolerance: Of the residual of the linear system, as a share of its right-hand side; 0: as
            near as the numbers allow.
        most: Iterations at most, for systems that do not get there.
    """

    name: ClassVar[str] = "mmps"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    tolerance: float = 1e-2
    most: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1 or self.most < 1:
            raise UsageError(
                f"mmps with a tolerance of {self.tolerance:g} and at most {self.most} iterations "
                f"does nothing; give a tolerance from 0 to 1, and 1 iteration or more"
            )

    def wrap(self, model: Model, measurement: Measurement) -> Model:
        """See `Guided`."""
        return Led(model, measurement, self.shift)

    def solved(self, at: Tangent) -> Tensor:
        """`(A C A' + noise)^-1 (y - A x0_hat)`."""
        return conjugate_residuals(
            at.spread, at.variance, at.residual,
            tolerance=self.tolerance or None, most=self.most,
        )  # fmt: skip

    def shift(self, at: Tangent) -> Tensor:
        """What the measurement adds to the predicted data."""
        return at.explained(self.solved(at))
