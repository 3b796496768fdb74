"""Sizes that a model was told in training: original, crop and target (SDXL)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.conditions.conditioner import Column, Condition, ReadImage
from demist.errors import UsageError


@dataclass(frozen=True)
class Sizes(Condition):
    """Numbers in pixels: height and width before, corner of the crop, height and width after.

    What is not given is `default`, with guidance as without: these numbers are never hidden.

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

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Sizes":
        return cls((*shape[-2:], 0, 0, *shape[-2:]))

    def encode(self, values: Sequence[Any] | None, n: int) -> dict[str, Tensor]:
        """`numbers`: `(n, 6)`, from six numbers for all or `n` rows of them.

        Raises:
            UsageError: They are not six.
        """
        rows = torch.as_tensor(self.default if values is None else values).float()
        rows = rows.expand(n, -1) if rows.ndim == 1 else rows
        if rows.shape != (n, len(self.default)):
            raise UsageError(
                f"sizes of shape {tuple(rows.shape)} for {n} samples; give {len(self.default)} "
                f"numbers: height and width before, top and left of the crop, height and width"
            )
        return {"numbers": rows}

    def spec(self) -> dict[str, Any]:
        return {"route": "vector", "features": len(self.default)}

    def parse(self, text: str, read_image: ReadImage) -> tuple[int, ...]:
        try:
            row = tuple(int(word) for word in text.split(","))
        except ValueError:
            raise UsageError(f"{text!r}: write six whole numbers with commas between") from None
        self.encode(row, 1)
        return row
