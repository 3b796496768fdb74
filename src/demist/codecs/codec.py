"""What a codec is."""

import abc
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from demist.errors import NotFiniteError

Draw = Callable[[Tensor], Tensor]
"""Gives standard normal numbers of the shape of its argument, as every `demist.core.Noise` does."""


def require_finite(z: Tensor) -> None:
    """Raise NotFiniteError if a state `(B, ...)` holds NaN or infinity; say of how many samples."""
    broken = int((~z.isfinite().flatten(1).all(1)).sum())
    if broken:
        raise NotFiniteError(
            f"{broken} of {len(z)} samples came out as NaN or infinity, so the model's numbers "
            f"overflow; use less guidance, fp32 instead of bf16 or fp16, or weights from before "
            f"the training diverged (--at-step)"
        )


class Codec(abc.ABC):
    """Two directions between data as stored and the state, which the model sees.

    A state has numbers of order one, and may have another shape than the data: then `state_shape`
    and `data_shape` say which. A codec may hold networks (`components`). They have been trained
    before; training a denoiser leaves them as they are.

    Attributes:
        bounds: Smallest and largest number that `encode` can give; None: there are none.
        lossless: Whether `decode(encode(x))` is `x`, up to rounding.
    """

    name: ClassVar[str]
    """The name on the command line."""

    bounds: ClassVar[tuple[float, float] | None] = None
    lossless: ClassVar[bool] = True

    @abc.abstractmethod
    def encode(self, x: Tensor, noise: Draw | None = None) -> Tensor:
        """Data as stored, `(B, ...)`, to float32.

        Args:
            x: The data.
            noise: For codecs that give a distribution of states: draw from it with these numbers.
                None: its mean. Other codecs do not use it.
        """

    @abc.abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Back to data as stored.

        Raises:
            NotFiniteError: There is NaN that this data cannot hold.
        """

    def preview(self, z: Tensor) -> Tensor:
        """A quick look at states as data, for films and the like; `decode` where that is quick."""
        return self.decode(z)

    def picture(self, z: Tensor) -> Tensor:
        """States as images in bytes, `(B, C, H, W)`, of codecs whose states are images."""
        return self.decode(z)

    def of_picture(self, x: Tensor) -> Tensor:
        """States of such images."""
        return self.encode(x)

    def decode_around(self, z: Tensor, x: Tensor, keep: Tensor) -> Tensor:
        """Data from states, where some of it is known and the rest is to go with that.

        What comes out need not be `x` where that is kept: the caller puts it there.

        Args:
            z: States.
            x: What is known, in the shape of the data.
            keep: Where it is, bool, in a shape that goes with `x`.
        """
        return self.decode(z)

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """Networks that belong to the codec, by the name of their folder in a saved model."""
        return {}

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the state of one sample whose data has `shape`.

        Raises:
            UsageError: Data of that shape cannot be encoded.
        """
        return tuple(shape)

    def data_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the data of one sample whose state has `shape`."""
        return tuple(shape)

    def to(self, device: str | torch.device) -> "Codec":
        """This codec, its networks moved to `device`."""
        for net in self.components.values():
            net.to(device)
        return self
