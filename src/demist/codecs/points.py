"""Points in a plane or in space, centred and scaled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from demist.codecs.codec import Codec, Draw
from demist.errors import UsageError


@dataclass(frozen=True)
class Standardize(Codec):
    """Subtract the mean of every coordinate and divide all by one number, which keeps angles.

    Attributes:
        mean: One number per coordinate, in the data's units.
        std: Positive, in the data's units.
    """

    name: ClassVar[str] = "standardize"
    mean: tuple[float, ...]
    std: float

    def __post_init__(self) -> None:
        if not 0 < self.std < math.inf:
            raise ValueError(f"std must be above zero and finite, got {self.std}")

    @classmethod
    def of(cls, x: np.ndarray | Sequence[Sequence[float]]) -> "Standardize":
        """The codec that gives the points `x`, shape `(N, D)`, mean 0 and variance 1 on average.

        Points that are all the same are only centred.
        """
        points = np.asarray(x, dtype=np.float64)
        std = float(np.sqrt(points.var(axis=0).mean()))
        return cls(tuple(points.mean(axis=0).tolist()), std if std > 1e-12 else 1.0)

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As the data's.

        Raises:
            UsageError: Points have another number of coordinates.
        """
        if shape != (len(self.mean),):
            raise UsageError(f"points of shape {shape} do not fit {len(self.mean)} coordinates")
        return shape

    def encode(self, x: Float[Tensor, "B D"], noise: Draw | None = None) -> Float[Tensor, "B D"]:
        """Data units to units of the model."""
        return (x - torch.tensor(self.mean).to(x)) / self.std

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Units of the model to data units."""
        return z * self.std + torch.tensor(self.mean).to(z)
