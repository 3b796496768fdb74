"""Waves as they are, in units of their deviation."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from demist.codecs.codec import Codec, Draw, require_finite
from demist.errors import DataError, UsageError


@dataclass(frozen=True)
class Wave(Codec):
    """Samples divided by one number, so that their variance is one.

    Attributes:
        rate: Samples a second.
        std: Positive.
    """

    name: ClassVar[str] = "wave"
    rate: int
    std: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.std < math.inf:
            raise ValueError(f"std must be above zero and finite, got {self.std}")

    @classmethod
    def of(cls, x: Any, rate: int) -> "Wave":
        """The codec that gives sounds variance 1.

        Args:
            x: Sounds `(N, 1, L)`, an array or used like one; at most 512 of them are looked at.
            rate: Samples a second.

        Raises:
            DataError: All are silent.
        """
        rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), 512)).astype(np.int64))
        std = float(np.sqrt(np.square(np.asarray(x[rows], np.float64)).mean()))
        if not std > 1e-9:
            raise DataError("all sounds are silent: there is nothing to learn")
        return cls(rate, std)

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As the data's.

        Raises:
            UsageError: It is no sound of one channel.
        """
        match shape:
            case (1, length) if length:
                return (1, length)
        raise UsageError(f"sounds of shape {tuple(shape)} do not fit: they have one channel")

    def encode(
        self, x: Float[Tensor, "B 1 L"], noise: Draw | None = None
    ) -> Float[Tensor, "B 1 L"]:
        """Samples in [-1, 1] to units of the model."""
        return x.float() / self.std

    def decode(self, z: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B 1 L"]:
        """Units of the model to samples; what is beyond full scale is cut."""
        require_finite(z)
        return (z * self.std).clamp(-1, 1)
