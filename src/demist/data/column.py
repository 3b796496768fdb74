"""One column of a data set: what is known of every sample, and of what kind it is.

| kind | values | names |
|---|---|---|
| class | `(N,)` indices, int64 | of the classes |
| labels | `(N, K)` ones and zeros, uint8: any subset of K classes | of the classes |
| numbers | `(N, D)` float64 | of the numbers |
| text | N strings, a tuple | |
| image | `(N, C, H, W)` bytes, or `LazyImages` | |
| mask | `(N, 1, H, W)` bytes, or `LazyImages`; from 128 on is to be made anew | |
| sizes | `(N, 2)` float64, pixels: height and width, or top and left of a crop | of the two |
| states | `(N, L, D)` float32: vectors made elsewhere | |

A reader may give columns of further kinds; a condition says which kind it reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int64

from demist.errors import DataError

NAMED = ("class", "labels", "numbers", "sizes")
"""Kinds whose values mean nothing without names."""


@dataclass(frozen=True, eq=False)
class Column:
    """What is known of N samples.

    Attributes:
        kind: See the table above.
        values: One per sample.
        names: Of the classes or numbers.
    """

    kind: str
    values: Any
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def require_sane(self, where: str) -> None:
        """Raise DataError if the values do not fit the names; `where` begins the message."""
        if self.kind == "class" and len(self):
            low, high = self.values.min(), self.values.max()
            if low < 0 or high >= len(self.names):
                raise DataError(
                    f"{where} reach from {low} to {high}, "
                    f"but there are {len(self.names)} classes, numbered from 0"
                )
        elif self.kind in NAMED[1:] and self.values.shape[1:] != (len(self.names),):
            raise DataError(
                f"{where}: shape {self.values.shape}, but there are {len(self.names)} names"
            )

    def take(self, rows: Int64[np.ndarray, "m"]) -> "Column":
        """The values at `rows`, in that order."""
        if isinstance(self.values, tuple):
            return replace(self, values=tuple(self.values[i] for i in rows))
        return replace(self, values=self.values.take(rows, axis=0))

    def update(self, digest: Any) -> None:
        """Add kind, names and values to a hash."""
        digest.update(repr((self.kind, self.names)).encode())
        if isinstance(self.values, tuple):
            digest.update(repr(self.values).encode())
            return
        digest.update(f"{self.values.dtype}{self.values.shape}".encode())
        for begin in range(0, len(self), 4096):
            digest.update(np.ascontiguousarray(self.values[begin : begin + 4096]).data)


def classes(values: Sequence[str], names: Sequence[str]) -> Column:
    """The column of classes whose names are `values`, each among `names`."""
    position = {name: index for index, name in enumerate(names)}
    return Column("class", np.array([position[v] for v in values], np.int64), tuple(names))
