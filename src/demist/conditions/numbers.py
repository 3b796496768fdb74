"""Numbers, such as an angle, a size or a temperature."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage
from demist.errors import UsageError


@dataclass(frozen=True)
class Numbers(Condition):
    """Named numbers, each within its range, encoded as Fourier features.

    A number is mapped to u in [0, 1] and given as u, cos(pi f u) and sin(pi f u), f = 1, 2, 4, ...
    One more feature is 1 where no number is given.

    References:
        Tancik et al. 2020, "Fourier Features Let Networks Learn High Frequency Functions",
        arXiv:2006.10739.

    Attributes:
        names: Of the numbers.
        low: Smallest value of each.
        high: Largest value of each.
        octaves: How many frequencies.
        drop: Probability of hiding all of them while training.
        group: Conditions of one group are hidden together.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    octaves: int = 6
    drop: float = 0.1
    group: str = ""
    route: ClassVar[str] = "vector"
    name: ClassVar[str] = "numbers"
    reads: ClassVar[str] = "numbers"

    def __post_init__(self) -> None:
        ranges = list(zip(self.low, self.high, strict=False))
        if not len(self.names) == len(self.low) == len(self.high) > 0:
            raise ValueError("give as many lower and upper ends as names, at least one")
        if any(not a < b for a, b in ranges):
            raise ValueError(f"each range must rise; got {ranges}")

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float, octaves: int = 6) -> "Numbers":
        """From smallest to largest of the data; a number that never changes is refused."""
        low, high = column.values.min(0).tolist(), column.values.max(0).tolist()
        for name, a, b in zip(column.names, low, high, strict=True):
            if not a < b:
                raise UsageError(f"{name} is {a:g} in all of the data, which says nothing")
        return cls(column.names, tuple(low), tuple(high), drop=drop)

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`features`: `(n, D)`; `unsaid`: `(n, 1)`, 1 where no number is given.

        Args:
            values: One number or row of numbers for all, `n` rows, or None; None in place of a row
                says nothing.
            n: Number of samples.

        Raises:
            UsageError: The shape does not fit, or a number is outside its range.
        """
        if isinstance(values, int | float) or (
            isinstance(values, tuple | list)
            and len(values) == len(self.names)
            and all(isinstance(v, int | float) for v in values)
            and (len(self.names) > 1 or n != 1)
        ):
            values = [values] * n
        rows = [None] * n if values is None else list(values)
        if len(rows) != n:
            raise UsageError(f"got {len(rows)} rows of numbers for {n} samples; give {n}")
        if isinstance(values, np.ndarray) and values.shape[1:] == (len(self.names),):
            features = self._features(torch.as_tensor(values, dtype=torch.float64))
            return {"features": features, "unsaid": torch.zeros(n, 1)}
        unsaid = torch.tensor([[float(row is None)] for row in rows])
        given = [self.low if row is None else row for row in rows]
        features = self._features(torch.stack([self._row(row) for row in given]))
        return {"features": torch.where(unsaid > 0, 0.0, features), "unsaid": unsaid}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": len(self.names) * (1 + 2 * self.octaves) + 1}

    def parse(self, text: str, read_image: ReadImage) -> tuple[float, ...] | None:
        if text == "none":
            return None
        try:
            row = tuple(float(word) for word in text.split(","))
        except ValueError:
            raise UsageError(
                f"{text!r}: write {', '.join(self.names)} as numbers with commas between"
            ) from None
        self._features(self._row(row)[None])
        return row

    def values(self, column: Column) -> np.ndarray:
        if tuple(column.names) != self.names:
            raise UsageError(
                f"the model knows the numbers {', '.join(self.names)} and the data has "
                f"{', '.join(column.names) or 'none'}"
            )
        return np.asarray(column.values)

    def words(self, value: Any) -> str:
        return "" if value is None else ", ".join(f"{v:g}" for v in self._row(value).tolist())

    def _row(self, row: Any) -> Float64[Tensor, " d"]:
        given = torch.as_tensor(row, dtype=torch.float64).reshape(-1)
        if len(given) != len(self.names):
            raise UsageError(
                f"{len(given)} numbers were given, but there are {len(self.names)}: "
                f"{', '.join(self.names)}"
            )
        return given

    def _features(self, given: Float64[Tensor, "n d"]) -> Float[Tensor, "n f"]:
        low, high = (torch.tensor(ends, dtype=torch.float64) for ends in (self.low, self.high))
        inside = (given >= low) & (given <= high)
        if not inside.all():
            row, k = (~inside).nonzero()[0].tolist()
            raise UsageError(
                f"{self.names[k]} = {float(given[row, k]):g} is outside {self.low[k]:g} to "
                f"{self.high[k]:g}"
            )
        low, high = low.float().double(), high.float().double()  # as models saved before have them
        u = ((given - low) / (high - low))[..., None]
        angle = math.pi * u * 2.0 ** torch.arange(self.octaves)
        return torch.cat([u, angle.cos(), angle.sin()], 2).flatten(1).float()
