"""Methods that go down to the data at every level, condition them there, and add noise again."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from demist.core import Model, Noise
from demist.errors import UsageError
from demist.inverse.measurement import Measurement
from demist.inverse.operator import LinearOperator
from demist.inverse.stepped import Stepped, Within
from demist.samplers import Solver, angular, sample


@dataclass(frozen=True)
class Anew(Stepped):
    """In every step a walk down to data, and a draw near them given the measurement.

    Attributes:
        inner: Steps from a level down to the data, at least 1.
        langevin: Steps for a draw that has no closed form, at least 1.
    """

    linear: ClassVar[bool] = False
    inner: int = 5
    langevin: int = 100

    def __post_init__(self) -> None:
        if self.inner < 1 or self.langevin < 1:
            raise ValueError(
                f"inner and langevin are at least 1, got {self.inner} and {self.langevin}"
            )

    def require(self, measurement: Measurement) -> None:
        """See `Method`."""
        super().require(measurement)
        if not isinstance(measurement.operator, LinearOperator) and not measurement.std:
            raise UsageError(
                f"method {self.name} divides by the noise where the operator is not linear, and "
                f"the noise is 0; give some noise"
            )

    def walked(self, model: Model, x: Tensor, t: Tensor, solver: Solver, noise: Noise) -> Tensor:
        """Data from the state `x` at time `t`, in `inner` steps of the solver."""
        grid = angular(self.inner, model.schedule, start=float(t))
        found: Tensor = sample(model, x, grid, solver, Within(noise))
        return found
