"""Bringing images to the size and range that a pretrained extractor expects.

Antialiased bicubic: shrinking without a low-pass filter makes up detail, and two programs that do
it differently get distances that differ by more than two models do [1].

References:
    [1] Parmar, Zhang, Zhu. On Aliased Resizing and Surprising Subtleties in GAN Evaluation, 2022.
        https://arxiv.org/abs/2104.11222
"""

import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from demist.errors import DataError


def prepare(images: UInt8[Tensor, "b c h w"], side: int) -> Float32[Tensor, "b 3 {side} {side}"]:
    """RGB of `side` by `side` pixels, values in 0..255; grey is repeated.

    Raises:
        DataError: neither 1 nor 3 channels.
    """
    if images.shape[1] not in (1, 3):
        raise DataError(
            f"Pretrained extractors take 1 (grey) or 3 (RGB) channels, not {images.shape[1]}; "
            "flatten transparency first."
        )
    x = images.float().expand(-1, 3, -1, -1)
    if x.shape[2:] != (side, side):
        x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return x.clamp(0, 255)
