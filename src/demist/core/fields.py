"""A state of several tensors whose parts have different shapes.

A protein may be positions `(B, N, 3)` and orientations `(B, N, 3, 3)`; no one tensor holds both.
`Fields` adds and scales like one tensor, so solvers, guidance and losses need no case for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Fields:
    """Named tensors with one batch axis.

    A coefficient may be a number, a tensor of the fields' leading axes, which is aligned with every
    field from the left, or other `Fields` with the same names.

    Attributes:
        parts: Name -> tensor `(B, ...)`.

    Raises:
        ValueError: There is none, or the batch axes differ.
    """

    parts: dict[str, Tensor]

    def __post_init__(self) -> None:
        sizes = {name: len(value) for name, value in self.parts.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"fields need one batch axis of one length, got {sizes or 'no field'}")

    def map(self, function: Callable[..., Tensor], *others: Any) -> "Fields":
        """`function` of every field, and of what `others` are for it (see the class)."""
        return Fields(
            {
                name: function(value, *(_of(other, name, value) for other in others))
                for name, value in self.parts.items()
            }
        )

    def __getitem__(self, name: str) -> Tensor:
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(next(iter(self.parts.values())))

    def __add__(self, other: Any) -> "Fields":
        return self.map(torch.add, other)

    def __sub__(self, other: Any) -> "Fields":
        return self.map(torch.sub, other)

    def __mul__(self, other: Any) -> "Fields":
        return self.map(torch.mul, other)

    def __truediv__(self, other: Any) -> "Fields":
        return self.map(torch.div, other)

    def __neg__(self) -> "Fields":
        return self.map(torch.neg)

    __radd__, __rmul__ = __add__, __mul__

    def rows(self, index: Any) -> "Fields":
        """Some samples: `index` along the batch axis."""
        return self.map(lambda value: value[index])

    def to(self, *target: Any) -> "Fields":
        """The fields on another device or in another dtype."""
        return self.map(lambda value: value.to(*target))

    @property
    def device(self) -> torch.device:
        """Where the fields are."""
        return next(iter(self.parts.values())).device


def _of(other: Any, name: str, value: Tensor) -> Any:
    """What `other` is for one field."""
    if isinstance(other, Fields):
        return other.parts[name]
    if isinstance(other, Tensor) and other.ndim:
        require_leading(other, value)
        return other.reshape(other.shape + (1,) * (value.ndim - other.ndim)).to(value)
    return other


def require_leading(c: Tensor, x: Tensor | Fields) -> None:
    """Raise ValueError unless the axes of the coefficient `c` are the leading axes of `x`."""
    for part in x.parts.values() if isinstance(x, Fields) else (x,):
        if c.shape != part.shape[: c.ndim]:
            raise ValueError(
                f"a time of shape {tuple(c.shape)} does not match the leading axes of a state of "
                f"shape {tuple(part.shape)}; give one time, or one per sample with shape "
                f"({len(x)},)"
            )
