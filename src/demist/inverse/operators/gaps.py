"""Gaps along one axis: of a wave, of the frames of a clip, of the coordinates of points."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.hiding import Hiding
from demist.inverse.operator import Shape


@dataclass(frozen=True, eq=False)
class Gaps(Hiding):
    """What lies between two places of an axis is hidden: `gaps:100,200`, or `gaps:0,24,axis=0`.

    Attributes:
        shape: Of one state.
        begin: First hidden place, from 0.
        end: First place that is seen again.
        axis: Of a state; -1 is the last, such as the time of a wave.
        every: In the gap each place that is a multiple of this is seen; 0: none is.

    Raises:
        UsageError: There are no such places.
    """

    shape: Shape
    begin: int
    end: int
    axis: int = -1
    every: int = 0
    name: ClassVar[str] = "gaps"

    def __post_init__(self) -> None:
        axes = len(self.shape)
        if not -axes <= self.axis < axes:
            raise UsageError(f"axis {self.axis}: the data has {axes}; give 0 to {axes - 1}, or -1")
        if not 0 <= self.begin < self.end <= self.shape[self.axis]:
            raise UsageError(
                f"the gap {self.begin},{self.end} is not inside the {self.shape[self.axis]} places "
                f"of axis {self.axis}; give the first hidden one and the first seen again"
            )
        if self.every < 0:
            raise UsageError(f"every = {self.every}: give 0 for none, or a number of places")
        super().__post_init__()

    def hides(self) -> Tensor:
        """The gap."""
        place = torch.arange(self.shape[self.axis])
        hidden = (place >= self.begin) & (place < self.end)
        if self.every:
            hidden &= place % self.every != 0
        axis = self.axis % len(self.shape)
        return hidden.reshape(-1, *[1] * (len(self.shape) - axis - 1))
