"""Only the brightness of a colour image is seen."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from demist.errors import UsageError
from demist.inverse.operator import Shape
from demist.inverse.separable import Matrices, Separable


@dataclass(frozen=True, eq=False)
class Colour(Separable):
    """A colour image is seen in grey, with the weights by which programs convert (ITU-R BT.601).

    Attributes:
        shape: Of one state, `(3, H, W)`.

    Raises:
        UsageError: The data has no colours.
    """

    shape: Shape
    name: ClassVar[str] = "colour"

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or self.shape[0] != 3:
            raise UsageError(
                f"operator colour gives back the colours of images of shape (3, H, W), and the "
                f"model's data has {self.shape}; take another model, or another operator"
            )

    def matrices(self) -> Matrices:
        """One row of weights."""
        return {0: torch.tensor([[0.299, 0.587, 0.114]], dtype=torch.float64)}
