"""Several classes at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage
from demist.conditions.label import class_index
from demist.errors import UsageError


@dataclass(frozen=True)
class Labels(Condition):
    """Any subset of several classes, encoded as ones and zeros.

    One more number is 1 where no labels are given, which is not the same as "none of them"; its
    weights in the network are the learned null.

    Attributes:
        classes: Names of the classes.
        drop: Probability of hiding the labels while training.
        group: Conditions of one group are hidden together.
    """

    classes: tuple[str, ...]
    drop: float = 0.1
    group: str = ""
    route: ClassVar[str] = "vector"
    name: ClassVar[str] = "labels"
    reads: ClassVar[str] = "labels"

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must be distinct names, at least one; got {self.classes}")

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Labels":
        return cls(column.names, drop)

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`classes`: ones and zeros `(n, K)`; `unsaid`: `(n, 1)`, 1 where no labels are given.

        Args:
            values: Names or numbers separated by "|" or commas for all samples ("" for none of
                them); a sequence of `n` such texts or None; an array `(n, K)` of ones and zeros; or
                None.
            n: Number of samples.
        """
        rows = self._rows(values, n)
        return {"classes": rows[:, :-1], "unsaid": rows[:, -1:]}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": len(self.classes) + 1}

    def parse(self, text: str, read_image: ReadImage) -> str:
        self._row(text)
        return text

    def written(self, column: Column, rows: Sequence[int]) -> list[list[str]]:
        values = self.values(column)[np.asarray(rows)]
        return [[self.classes[k] for k in np.flatnonzero(row)] for row in values]

    def values(self, column: Column) -> np.ndarray:
        if tuple(column.names) != self.classes:
            raise UsageError(
                f"the model knows the labels {', '.join(self.classes)} and the data has "
                f"{', '.join(column.names) or 'none'}; give data with the model's labels"
            )
        return np.asarray(column.values)

    def words(self, value: Any) -> str:
        if isinstance(value, np.ndarray):
            return ", ".join(c for c, there in zip(self.classes, value, strict=True) if there)
        return "" if value is None else str(value)

    def _rows(self, values: Any, n: int) -> Float[Tensor, "n k"]:
        k = len(self.classes)
        if isinstance(values, np.ndarray | Tensor):
            known = torch.as_tensor(values).float()
            if known.shape != (n, k):
                raise UsageError(
                    f"labels of shape {tuple(known.shape)} for {n} samples and {k} classes; give "
                    f"({n}, {k})"
                )
            return torch.cat([known, torch.zeros(n, 1)], 1)
        if values is None or isinstance(values, str):
            values = [values] * n
        if len(values) != n:
            raise UsageError(f"got {len(values)} sets of labels for {n} samples; give {n}")
        return torch.tensor([self._row(value) for value in values])

    def _row(self, value: str | Sequence[str | int] | None) -> list[float]:
        row = [0.0] * len(self.classes) + [float(value is None)]
        if isinstance(value, str):
            cut = "|" if "|" in value else ","
            whole = value in self.classes
            value = [value] if whole else [word.strip() for word in value.split(cut)]
        for word in value or ():
            if word != "":
                row[class_index(word, self.classes)] = 1.0
        return row
