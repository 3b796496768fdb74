"""Parts are hidden that a mask says."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from demist.inverse.hiding import Hiding
from demist.inverse.operator import Shape


@dataclass(frozen=True, eq=False)
class Mask(Hiding):
    """Parts are hidden by a mask: 1 is hidden and to be made anew, 0 is seen.

    Attributes:
        shape: Of one state.
        hidden: What is hidden, of a shape that broadcasts to `shape`.

    Raises:
        UsageError: It does not, or nothing is seen.
    """

    shape: Shape
    hidden: Tensor = field(metadata={"file": "mask", "needs": "a file: write mask:FILE"})
    name: ClassVar[str] = "mask"

    def hides(self) -> Tensor:
        """The mask."""
        return self.hidden
