"""Latents, centred channel by channel and scaled."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from demist.codecs.codec import Codec, Draw
from demist.errors import DataError


@dataclass(frozen=True)
class ChannelScale(Codec):
    """Subtract a number per channel, then multiply all by one: `(x - shift) * scale`.

    One scale for all: a channel that says little stays small, and its noise is not blown up.

    Attributes:
        shift: One number per channel, or none at all for 0.
        scale: Positive.
    """

    name: ClassVar[str] = "channel-scale"
    shift: tuple[float, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale must be above zero, got {self.scale}")

    @classmethod
    def of(cls, x: Float[Tensor, "N C H W"]) -> "ChannelScale":
        """What gives the latents `x` mean 0 in each channel and variance 1 on average.

        Raises:
            DataError: They are all alike, or not finite: whoever made them has lost the data.
        """
        y = x.double()
        shift = y.mean((0, 2, 3))
        std = float((y - shift[:, None, None]).square().mean().sqrt())
        if not 1e-6 < std < 1e6:
            raise DataError(
                f"the latents have standard deviation {std:g}: the codec has lost the data. Train "
                f"it again, with a lower kl_weight or lr"
            )
        return cls(tuple(shift.tolist()), 1 / std)

    def encode(
        self, x: Float[Tensor, "B C H W"], noise: Draw | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Latents to units of the model."""
        return (x - self._shift(x)) * self.scale

    def decode(self, z: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Units of the model to latents."""
        return z / self.scale + self._shift(z)

    def _shift(self, like: Tensor) -> Tensor:
        return torch.tensor(self.shift or (0.0,)).to(like)[:, None, None]
