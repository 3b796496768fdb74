"""No method at all, for comparison."""

from dataclasses import dataclass
from typing import ClassVar

from demist.core import Model
from demist.inverse.measurement import Measurement
from demist.inverse.method import Guided


@dataclass(frozen=True)
class Prior(Guided):
    """Samples of the model that leave the measurement aside: the floor for all other methods.

    Exact where the measurement says nothing of the data. As many evaluations as sampling takes, no
    gradients. Its spread is that of all data, and its misfit large.
    """

    name: ClassVar[str] = "prior"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    solver: ClassVar[str | None] = None

    def wrap(self, model: Model, measurement: Measurement) -> Model:
        """The model as it is."""
        return model
