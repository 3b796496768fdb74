"""What a codec is."""

import abc
from typing import ClassVar

from torch import Tensor


class Codec(abc.ABC):
    """Two directions between data as stored and what the model sees: numbers of order one.

    Attributes:
        bounds: Smallest and largest number that `encode` can give; None: there are none.
    """

    bounds: ClassVar[tuple[float, float] | None] = None

    @abc.abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Data as stored, `(B, ...)`, to float32."""

    @abc.abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Back to data as stored."""
