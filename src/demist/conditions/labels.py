"""Several classes at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from demist.conditions.conditioner import Condition
from demist.conditions.label import class_index
from demist.errors import UsageError


@dataclass(frozen=True)
class Labels(Condition):
    """Any subset of several classes, encoded as ones and zeros.

    One more number after the last class is 1 where nothing was said, which is not the same as
    "none of them"; its weights in the network are the learned null.

    Attributes:
        classes: Names of the classes.
        drop: Probability of hiding the labels while training.
        group: Conditions of one group are hidden together.
    """

    name: ClassVar[str] = "labels"
    classes: tuple[str, ...]
    drop: float = 0.1
    group: str = ""
    route: ClassVar[str] = "vector"

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes must be distinct names, at least one; got {self.classes}")

    def encode(self, values: Any, n: int) -> Float[Tensor, "n k"]:
        """Ones and zeros.

        Args:
            values: Names or numbers separated by commas for all samples ("" for none of them); a
                sequence of `n` such texts or None; an array `(n, K)` of ones and zeros; or None.
            n: Number of samples.
        """
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

    def null(self, encoded: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        return torch.tensor(self._row(None)).to(encoded).expand_as(encoded)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": len(self.classes) + 1}

    def _row(self, value: str | Sequence[str | int] | None) -> list[float]:
        row = [0.0] * len(self.classes) + [float(value is None)]
        words = [w.strip() for w in value.split(",")] if isinstance(value, str) else value or ()
        for word in words:
            if word != "":
                row[class_index(word, self.classes)] = 1.0
        return row
