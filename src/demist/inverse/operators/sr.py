"""Low resolution."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from demist.inverse.operator import Shape
from demist.inverse.separable import Matrices, Separable, require_divisible, spatial


@dataclass(frozen=True, eq=False)
class LowResolution(Separable):
    """Data made smaller by a whole factor: `sr:4`, or `sr:4,bicubic`.

    Attributes:
        shape: Of one state; its last two axes are made smaller, of states with fewer than three
            axes the last.
        factor: Of each side, which it divides.
        kernel: `average`: the mean of each block; `bicubic`: as most programs make images smaller,
            against aliasing, which overshoots at edges.

    Raises:
        UsageError: The factor does not divide a side.
    """

    shape: Shape
    factor: int
    kernel: Literal["average", "bicubic"] = "average"
    name: ClassVar[str] = "sr"

    def __post_init__(self) -> None:
        require_divisible(self.shape, self.factor)

    def matrices(self) -> Matrices:
        """The same rule along each axis."""
        made = {}
        for axis in spatial(self.shape):
            n = self.shape[axis]
            unit = torch.eye(n, dtype=torch.float64)
            if self.kernel == "average":
                made[axis] = unit.reshape(n // self.factor, self.factor, n).mean(1)
            else:
                size = (n // self.factor, n)
                smaller = F.interpolate(unit[None, None], size, mode="bicubic", antialias=True)
                made[axis] = smaller[0, 0]
        return made
