"""What a pickle can say here: plain containers, tensors as places in a file, and names of the rest.

Nothing of it is hashed or compared, however deep it is nested: a dict is a list of pairs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

MAX_AXES = 16


class Items:
    """A dict, as its pairs in the order of the file.

    Attributes:
        pairs: Keys and values; a key may come twice.
    """

    def __init__(self, pairs: list[Any] | None = None) -> None:
        self.pairs: list[Any] = [] if pairs is None else pairs

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for pair in self.pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError("a dict is made of what are no pairs")
            yield pair[0], pair[1]


@dataclass(frozen=True)
class Name:
    """A name of some module, which nobody imports.

    Attributes:
        module: As the file spells it.
        attribute: Likewise.
    """

    module: str
    attribute: str

    @property
    def text(self) -> str:
        """Both, as Python spells them."""
        return f"{self.module}.{self.attribute}"


@dataclass
class Unknown:
    """What only code of that name could make.

    Attributes:
        name: Of the class or function.
        parts: What it would be made of.
        tensor: Whether that name makes tensors.
    """

    name: str
    parts: list[Any] = field(default_factory=list)
    tensor: bool = False


@dataclass(frozen=True)
class Storage:
    """Numbers in the file.

    Attributes:
        key: Their name in the file.
        dtype: Of one; None: they are bytes, and a tensor says what it sees in them.
        numel: How many.
    """

    key: str
    dtype: torch.dtype | None
    numel: int

    @property
    def nbytes(self) -> int:
        """Their bytes."""
        return self.numel * (self.dtype.itemsize if self.dtype else 1)


@dataclass(frozen=True)
class Stored:
    """A tensor: a view of a storage.

    Attributes:
        storage: Where its numbers are.
        dtype: Of one.
        shape: Axes.
        stride: Numbers from one index to the next, of each axis; 0 repeats one number.
        offset: Numbers before the first.
    """

    storage: Storage
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.stride) or len(self.shape) > MAX_AXES:
            raise ValueError(f"a tensor has {len(self.shape)} axes and {len(self.stride)} strides")
        numbers = (*self.shape, *self.stride, self.offset)
        if not all(type(n) is int and 0 <= n < 2**48 for n in numbers):
            raise ValueError("a tensor has a side, stride or offset that cannot be right")
        reach = sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))
        end = (self.offset + reach + 1) * self.dtype.itemsize
        if 0 not in self.shape and end > self.storage.nbytes:
            raise ValueError(
                f"a tensor of shape {list(self.shape)} and strides {list(self.stride)} ends "
                f"{end - self.storage.nbytes} bytes after its storage"
            )

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor as it is written."""
        return math.prod(self.shape) * self.dtype.itemsize


def shown(text: Any) -> str:
    """A word of somebody's file, safe to print."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:80])
