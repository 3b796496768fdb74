"""8-bit pixels <-> [-1, 1]."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Real, UInt8
from torch import Tensor

from demist.codecs.codec import Codec, Draw, require_finite


@dataclass(frozen=True)
class Pixels(Codec):
    """Bytes 0..255 spread evenly over [-1, 1]; decoding clamps and rounds to the nearest byte.

    `decode(encode(x)) == x` for every byte, and a model error below 1/255 changes nothing.
    """

    name: ClassVar[str] = "pixels"
    bounds = (-1.0, 1.0)

    def encode(
        self, x: Real[Tensor, "B C H W"], noise: Draw | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Bytes, or numbers between them, to float32 in [-1, 1]."""
        return x.float() / 127.5 - 1

    def decode(self, z: Float[Tensor, "B C H W"]) -> UInt8[Tensor, "B C H W"]:
        """Numbers to bytes; what lies outside [-1, 1] is clamped, NaN is an error."""
        values = (z + 1) * 127.5
        require_finite(values.clamp(-1, 256))
        return values.clamp(0, 255).round().to(torch.uint8)
