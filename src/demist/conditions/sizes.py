"""Sizes in pixels that a model is told: where images came from, where they were cut."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from demist.conditions.condition import Column, Condition, Encoded, ReadImage
from demist.errors import UsageError

_UNTOLD = -1.0
"""Stands for a number that is hidden."""


@dataclass(frozen=True)
class Sizes(Condition):
    """Two numbers in pixels: height and width of an image, or where it was cropped.

    What is not given is `default`. Where training never hides them, as in models of other makers,
    guidance leaves them as they are; else it leads away from numbers that are not told, -1.

    References:
        Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.2.

    Attributes:
        default: Height and width; or top and left, 0 for an image that was not cropped.
        crop: Whether they are top and left of a crop, which do not follow the image's size.
        drop: Probability of hiding them while training.
        group: Conditions of one group are hidden together.
    """

    default: tuple[int, ...]
    crop: bool = False
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = "sizes"
    reads: ClassVar[str] = "sizes"

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Sizes":
        """Of a column whose names are (height, width), or (top, left) for crops."""
        crop = tuple(column.names) == ("top", "left")
        return cls((0, 0) if crop else tuple(shape[-2:]), crop, drop)

    @property
    def meaning(self) -> str:
        """What the numbers are, in words."""
        return "top and left of the crop" if self.crop else "height and width"

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`numbers`: `(n, 2)`, from two numbers for all or `n` rows of them.

        Raises:
            UsageError: They are not two.
        """
        rows = torch.as_tensor(np.asarray(self.default if values is None else values)).float()
        rows = rows.expand(n, -1) if rows.ndim == 1 else rows
        if rows.shape != (n, 2):
            raise UsageError(
                f"sizes of shape {tuple(rows.shape)} for {n} samples; give 2 numbers: "
                f"{self.meaning}"
            )
        return {"numbers": rows}

    def null(self) -> Encoded | None:
        return {"numbers": torch.full((1, 2), _UNTOLD)} if self.drop else None

    def sized(self, height: int, width: int) -> "Sizes":
        """Told of images of this size, neither cropped nor enlarged."""
        return self if self.crop else replace(self, default=(height, width))

    def spec(self) -> dict[str, Any]:
        return {"route": "vector", "sizes": 2}

    def parse(self, text: str, read_image: ReadImage) -> tuple[int, ...]:
        try:
            row = tuple(int(word) for word in text.split(","))
        except ValueError:
            raise UsageError(
                f"{text!r}: write 2 whole numbers with a comma between: {self.meaning}"
            ) from None
        self.encode(row, 1)
        return row

    def words(self, value: Any) -> str:
        return ""
