"""An image that a further network reads, so that samples follow it: edges, depth, a pose."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage
from demist.conditions.image import telling
from demist.errors import UsageError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_TAIL = re.compile(rf"(?::({_NUMBER})(?::({_NUMBER})-({_NUMBER}))?)?$")
"""What follows the name of an image: nothing, `:0.8`, or `:0.8:1-0.4`."""


@dataclass(frozen=True, eq=False)
class Control:
    """An image to follow, how closely, and when.

    Attributes:
        image: Bytes `(C, H, W)`, of the samples' height and width.
        scale: Multiplies what its network adds; 0 adds nothing.
        window: Between which times it is followed, in the order of sampling: (1, 0.4) is from pure
            noise to t = 0.4.
    """

    image: np.ndarray
    scale: float = 1.0
    window: tuple[float, float] = (1.0, 0.0)

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise UsageError(f"control scale {self.scale}: give a finite number, such as 0.8")
        begin, end = self.window
        if not 1 >= begin > end >= 0:
            turned = f"{1 - begin:g}-{1 - end:g}" if 0 <= begin < end <= 1 else "1-0.5"
            raise UsageError(
                f"control window {begin:g}-{end:g}: times go from 1 (noise) down to 0 (data), so "
                f"write the larger first, such as {turned}"
            )

    def facts(self) -> dict[str, Any]:
        """What a record says of it, as JSON."""
        return {"scale": self.scale, "window": list(self.window)}


@dataclass(frozen=True)
class ControlImage(Condition):
    """The image that one further network reads. Guidance leaves it: both its sides follow it.

    Without an image the network adds nothing.

    Attributes:
        sides: Height and width of the samples, in pixels.
        channels: Of the image.
        reader: Makes maps of an image `(b, C, H, W)` in [0, 1], once for a whole sampling; None:
            the network is given the image itself at each step.
        drop: 0.
        group: None.
    """

    sides: tuple[int, int]
    channels: int = 3
    reader: Callable[[Tensor], Sequence[Tensor]] | None = field(default=None, repr=False)
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "control-image"
    usual: ClassVar[bool] = False
    spatial: ClassVar[bool] = True
    kept: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "ControlImage":
        """Never: it belongs to a published network.

        Raises:
            UsageError: Always.
        """
        raise UsageError("a control image comes with a published network; train with image")

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`image` `(n, C, H, W)` in [0, 1] or its maps `map0`, ...; `how` `(n, 3)`: scale, window.

        Args:
            values: A `Control` or an image for all samples, or a sequence of `n`; None where there
                is none.
            n: Number of samples.

        Raises:
            UsageError: Another number of images, or one of another shape or type.
        """
        if isinstance(values, np.ndarray | Tensor):
            values = values if values.ndim == 3 else list(values)
        one = not isinstance(values, list | tuple)
        rows = [self._control(value) for value in ([values] if one else values)]
        if len(rows) != (1 if one else n):
            raise UsageError(f"got {len(rows)} control images for {n} samples; give one, or {n}")
        how = torch.tensor([[row.scale, *row.window] for row in rows])
        read = [self._read(torch.as_tensor(row.image)[None] / 255) for row in rows]
        parts = {name: torch.cat([maps[name] for maps in read]) for name in read[0]}
        return {name: x.expand(n, *x.shape[1:]) for name, x in {**parts, "how": how}.items()}

    def _control(self, value: Any) -> Control:
        """The value as a control; none is one of scale 0."""
        shape = (self.channels, *self.sides)
        if value is None:
            return Control(np.zeros(shape, np.uint8), 0.0)
        control = value if isinstance(value, Control) else Control(np.asarray(value))
        image = np.asarray(control.image)
        if image.dtype != np.uint8 or image.shape != shape:
            raise UsageError(
                f"a control image of shape {image.shape} and type {image.dtype}; give bytes of "
                f"shape {shape}, the size of the samples"
            )
        return replace(control, image=image)

    def _read(self, image: Tensor) -> dict[str, Tensor]:
        if self.reader is None:
            return {"image": image}
        with torch.inference_mode(False), torch.no_grad():
            return {f"map{i}": x for i, x in enumerate(self.reader(image))}

    def sized(self, height: int, width: int) -> "ControlImage":
        return replace(self, sides=(height, width))

    def spec(self) -> dict[str, Any]:
        return {"route": "residual", "channels": self.channels}

    def parse(self, text: str, read_image: ReadImage) -> Control:
        """`image.png[:scale[:from-to]]`; of a square, another image is cropped and resized (told).

        Of files that are there, the one with the longest name at the beginning is the image.
        """
        file, scale, window = typed_control(text)
        return Control(telling(read_image)(file, self.channels, self.sides), scale, window)

    def words(self, value: Any) -> str:
        return ""


def typed_control(text: str) -> tuple[str, float, tuple[float, float]]:
    """File, scale and window in `image.png[:scale[:from-to]]`; colons in names do no harm.

    Raises:
        UsageError: What follows the name of a file is neither.
    """
    heads = [text[:i] for i in (*(i for i, c in enumerate(text) if c == ":"), len(text))]
    there = [head for head in heads if Path(head).is_file()]
    file = there[-1] if there else text
    found = _TAIL.fullmatch(text, len(file)) if there else _TAIL.search(text)
    if found is None:
        raise UsageError(
            f"{text}: what follows {file} is no scale and window; write {file}:0.8 or "
            f"{file}:0.8:1-0.4"
        )
    scale, begin, end = found.groups()
    window = (1.0, 0.0) if begin is None else (float(begin), float(end))
    return text[: found.start()], 1.0 if scale is None else float(scale), window
