"""A class label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage
from demist.errors import UsageError
from demist.parts import close

Value = str | int | float | None


@dataclass(frozen=True)
class Label(Condition):
    """One of several classes, encoded as its index; the null is one more class after the last.

    Attributes:
        classes: Names of the classes, in the order of their indices.
        drop: Probability of hiding the label while training.
        group: Conditions of one group are hidden together.
    """

    classes: tuple[str, ...]
    drop: float = 0.1
    group: str = ""
    route: ClassVar[str] = "vector"
    name: ClassVar[str] = "label"
    reads: ClassVar[str] = "class"
    short: ClassVar[str] = "class"

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must be distinct names, at least one; got {self.classes}")

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Label":
        if len(column.names) < 2:
            raise UsageError(f"the only class, {', '.join(column.names)}, says nothing of a sample")
        return cls(column.names, drop)

    def encode(
        self, values: Value | np.generic | Sequence[Any] | np.ndarray | Tensor, n: int
    ) -> dict[str, Tensor]:
        """`index`: `(n,)` indices of `values`: names, indices or None, one for all or `n`."""
        return {"index": self._indices(values, n)}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "classes": len(self.classes)}

    @property
    def choices(self) -> tuple[str, ...]:
        return self.classes

    def parse(self, text: str, read_image: ReadImage) -> str | None:
        if text == "none" and text not in self.classes:
            return None
        return self.classes[class_index(text, self.classes)]

    def values(self, column: Column) -> np.ndarray:
        return translated(column, self.classes)

    def written(self, column: Column, rows: Sequence[int]) -> list[str]:
        return [self.classes[i] for i in self.values(column)[np.asarray(rows)]]

    def words(self, value: Value) -> str:
        return "" if value is None else self.classes[class_index(value, self.classes)]

    def _indices(self, values: Any, n: int) -> Int[Tensor, " n"]:
        if isinstance(values, np.ndarray | np.generic | Tensor):
            values = values.tolist()
        if not isinstance(values, list | tuple):
            return torch.full((n,), self._index(values))
        if len(values) != n:
            raise UsageError(
                f"got {len(values)} labels for {n} samples; give one for all, or {n} of them"
            )
        return torch.tensor([self._index(value) for value in values], dtype=torch.int64)

    def _index(self, value: Any) -> int:
        value = value.item() if isinstance(value, np.generic | Tensor) else value
        return len(self.classes) if value is None else class_index(value, self.classes)


def translated(column: Column, classes: Sequence[str]) -> np.ndarray:
    """The indices of a column of classes, counted as in `classes`.

    Raises:
        UsageError: It has classes that are not among them.
    """
    if tuple(column.names) == tuple(classes):
        return np.asarray(column.values)
    if not set(column.names) <= set(classes):
        raise UsageError(
            f"the model knows the classes {', '.join(classes)} and the data has "
            f"{', '.join(column.names) or 'none'}; give data with the model's classes"
        )
    place = np.array([classes.index(name) for name in column.names], np.int64)
    return np.asarray(place[column.values])


def class_index(value: str | int | float, classes: Sequence[str]) -> int:
    """Index of a class given by name or number; a name goes before a number.

    Raises:
        UsageError: There is none; those that are there are listed.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        if value in classes:
            return list(classes).index(value)
        value = int(value) if value.isdecimal() else value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(classes):
        return value
    shown = ", ".join(classes[:20])
    more = f", ... ({len(classes)} in all)" if len(classes) > 20 else ""
    near = close(str(value), classes)
    hint = f"; did you mean {near!r}?" if near else "."
    raise UsageError(f"there is no class {value!r}{hint} There are: {shown}{more}")
