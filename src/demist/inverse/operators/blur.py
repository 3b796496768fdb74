"""Out of focus."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.operator import Shape
from demist.inverse.separable import Matrices, Separable, spatial


@dataclass(frozen=True, eq=False)
class Blur(Separable):
    """Gaussian blur of a standard deviation in pixels: `blur:1.5`.

    Attributes:
        shape: Of one state; its last two axes are blurred, of states with fewer than three axes the
            last.
        std: In pixels, above 0; the kernel is cut off at 4 of them.
        boundary: `reflect`: what is outside mirrors what is inside, the edge included; `circular`:
            the opposite edge follows.

    Raises:
        UsageError: The deviation is not above 0.
    """

    shape: Shape
    std: float
    boundary: Literal["reflect", "circular"] = "reflect"
    name: ClassVar[str] = "blur"

    def __post_init__(self) -> None:
        if not 0 < self.std < math.inf:
            raise UsageError(f"a blur of {self.std:g} pixels is none; give a number above 0")

    def matrices(self) -> Matrices:
        """The same kernel along each axis."""
        return {axis: self._matrix(self.shape[axis]) for axis in spatial(self.shape)}

    def _matrix(self, n: int) -> Tensor:
        reach = max(1, math.ceil(4 * self.std))
        offsets = torch.arange(-reach, reach + 1)
        kernel = (-0.5 * (offsets.double() / self.std).square()).exp()
        places = torch.arange(n)[:, None] + offsets
        if self.boundary == "circular":
            places = places % n
        else:
            places = places % (2 * n)
            places = torch.where(places < n, places, 2 * n - 1 - places)
        weights = (kernel / kernel.sum()).expand(n, -1)
        return torch.zeros(n, n, dtype=torch.float64).scatter_add(1, places, weights)
