"""Numbers, such as an angle, a size or a temperature."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from demist.conditions.conditioner import Condition
from demist.errors import UsageError


@dataclass(frozen=True)
class Numbers(Condition):
    """Named numbers, each within its range, encoded as Fourier features.

    A number is mapped to u in [0, 1] and told as u, cos(pi f u) and sin(pi f u), f = 1, 2, 4, ...
    One more feature is 1 where nothing was said.

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

    name: ClassVar[str] = "numbers"
    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    octaves: int = 6
    drop: float = 0.1
    group: str = ""
    route: ClassVar[str] = "vector"

    def __post_init__(self) -> None:
        ranges = list(zip(self.low, self.high, strict=False))
        if not len(self.names) == len(self.low) == len(self.high) > 0:
            raise ValueError("give as many lower and upper ends as names, at least one")
        if any(not a < b for a, b in ranges):
            raise ValueError(f"each range must rise; got {ranges}")

    def encode(self, values: Any, n: int) -> Float[Tensor, "n d"]:
        """Features.

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
        return torch.stack([self._row(row) for row in rows])

    def null(self, encoded: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        return self._row(None).to(encoded).expand_as(encoded)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": len(self.names) * (1 + 2 * self.octaves) + 1}

    def _row(self, row: Any) -> Tensor:
        if row is None:
            return torch.tensor([0.0] * (len(self.names) * (1 + 2 * self.octaves)) + [1.0])
        given = torch.as_tensor(row, dtype=torch.float64).reshape(-1)
        if len(given) != len(self.names):
            raise UsageError(
                f"{len(given)} numbers were given, but there are {len(self.names)}: "
                f"{', '.join(self.names)}"
            )
        low, high = torch.tensor(self.low).double(), torch.tensor(self.high).double()
        for name, v, a, b in zip(self.names, given, low, high, strict=True):
            if not a <= v <= b:
                raise UsageError(f"{name} = {float(v):g} is outside {float(a):g} to {float(b):g}")
        u = (given - low) / (high - low)
        angle = math.pi * u[:, None] * 2.0 ** torch.arange(self.octaves)
        features = torch.cat([u[:, None], angle.cos(), angle.sin()], 1).flatten()
        return torch.cat([features, torch.zeros(1)]).float()
