"""Arrays of any shape as one row of numbers, centred and scaled."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from demist.codecs.codec import Codec, Draw
from demist.errors import UsageError


@dataclass(frozen=True)
class Flat(Codec):
    """All numbers of a sample in a row, less one mean and divided by one deviation.

    With it a network for points learns signals, or whatever has a fixed shape.

    Attributes:
        shape: Of the data of one sample.
        mean: In the data's units.
        std: Positive, in the data's units.
    """

    name: ClassVar[str] = "flat"
    shape: tuple[int, ...]
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.std < math.inf:
            raise ValueError(f"std must be above zero and finite, got {self.std}")

    @classmethod
    def of(cls, x: np.ndarray) -> "Flat":
        """The codec that gives all numbers of `x`, shape `(N, ...)`, mean 0 and variance 1."""
        std = float(x.std(dtype=np.float64))
        return cls(x.shape[1:], float(x.mean(dtype=np.float64)), std if std > 1e-12 else 1.0)

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One axis.

        Raises:
            UsageError: The data has another size.
        """
        if math.prod(shape) != math.prod(self.shape):
            raise UsageError(f"data of shape {shape} does not fit that of shape {self.shape}")
        return (math.prod(shape),)

    def data_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """That of the data it was made for."""
        return self.shape

    def encode(self, x: Float[Tensor, "B ..."], noise: Draw | None = None) -> Float[Tensor, "B F"]:
        """Data units to units of the model."""
        return (x.float().flatten(1) - self.mean) / self.std

    def decode(self, z: Float[Tensor, "B F"]) -> Float[Tensor, "B ..."]:
        """Units of the model to data units."""
        return (z * self.std + self.mean).reshape(-1, *self.shape)
