"""A rectangle is hidden, or one half."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.hiding import Hiding
from demist.inverse.operator import Shape


@dataclass(frozen=True, eq=False)
class Box(Hiding):
    """A rectangle of an image is hidden: `box:x,y,width,height`, in pixels from the top left.

    Attributes:
        shape: Of one state, `(..., H, W)`.
        x: Its left side.
        y: Its upper side.
        width: Its width.
        height: Its height.

    Raises:
        UsageError: It is empty, or not inside the image.
    """

    shape: Shape
    x: int
    y: int
    width: int
    height: int
    name: ClassVar[str] = "box"

    def __post_init__(self) -> None:
        high, wide = require_image(self.name, self.shape)
        if (
            min(self.x, self.y) < 0
            or min(self.width, self.height) < 1
            or self.x + self.width > wide
            or self.y + self.height > high
        ):
            raise UsageError(
                f"box {self.x},{self.y},{self.width},{self.height} is not inside an image of "
                f"{wide} x {high}; write x,y,width,height in pixels from the top left"
            )
        super().__post_init__()

    def hides(self) -> Tensor:
        """The rectangle."""
        hidden = torch.zeros(self.shape[-2:], dtype=torch.bool)
        hidden[self.y : self.y + self.height, self.x : self.x + self.width] = True
        return hidden


@dataclass(frozen=True, eq=False)
class Half(Hiding):
    """One half of an image is hidden: `half:lower`.

    Attributes:
        shape: Of one state, `(..., H, W)`.
        side: Which.
    """

    shape: Shape
    side: Literal["lower", "upper", "left", "right"] = "lower"
    name: ClassVar[str] = "half"

    def hides(self) -> Tensor:
        """The half; of an odd side, the smaller one."""
        high, wide = require_image(self.name, self.shape)
        rows, columns = torch.arange(high)[:, None], torch.arange(wide)[None]
        return {
            "lower": rows >= high - high // 2,
            "upper": rows < high // 2,
            "right": columns >= wide - wide // 2,
            "left": columns < wide // 2,
        }[self.side]


def require_image(name: str, shape: Shape) -> tuple[int, int]:
    """Height and width of images.

    Raises:
        UsageError: The data is something else.
    """
    if len(shape) < 3:
        raise UsageError(
            f"operator {name} is for images, and the data has shape {shape}; take gaps, random or "
            f"dense"
        )
    return shape[-2], shape[-1]
