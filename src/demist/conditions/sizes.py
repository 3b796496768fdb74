"""Sizes in pixels that a model was told in training: SDXL, PixArt-alpha."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.conditions.conditioner import Column, Condition, ReadImage
from demist.errors import UsageError

_MEANING = {
    2: "height and width",
    6: "height and width before, top and left of the crop, height and width after",
}
"""How many numbers -> what they are."""


@dataclass(frozen=True)
class Sizes(Condition):
    """Numbers in pixels: the image's height and width, or six: see `_MEANING`.

    What is not given is `default`. With guidance as without: these numbers are never hidden.

    References:
        Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.2.

    Attributes:
        default: An image that was neither cropped nor enlarged.
        drop: 0.
        group: None.
    """

    default: tuple[int, ...]
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "sizes"
    kept: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Sizes":
        return cls((*shape[-2:], 0, 0, *shape[-2:]))

    def encode(self, values: Sequence[Any] | None, n: int) -> dict[str, Tensor]:
        """`numbers`: `(n, k)`, from k numbers for all or `n` rows of them.

        Raises:
            UsageError: They are not k.
        """
        count = len(self.default)
        rows = torch.as_tensor(self.default if values is None else values).float()
        rows = rows.expand(n, -1) if rows.ndim == 1 else rows
        if rows.shape != (n, count):
            raise UsageError(
                f"sizes of shape {tuple(rows.shape)} for {n} samples; give {count} numbers: "
                f"{_MEANING.get(count, 'in pixels')}"
            )
        return {"numbers": rows}

    def sized(self, height: int, width: int) -> "Sizes":
        """Told of images of this size, neither cropped nor enlarged."""
        whole = (height, width) if len(self.default) == 2 else (height, width, 0, 0, height, width)
        return replace(self, default=whole)

    def spec(self) -> dict[str, Any]:
        return {"route": "vector", "features": len(self.default)}

    def parse(self, text: str, read_image: ReadImage) -> tuple[int, ...]:
        try:
            row = tuple(int(word) for word in text.split(","))
        except ValueError:
            raise UsageError(
                f"{text!r}: write {len(self.default)} whole numbers with commas between"
            ) from None
        self.encode(row, 1)
        return row
