"""The convolutions of VGG16, as far as LPIPS looks at them, by torchvision's names.

References:
    Simonyan, Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
        arXiv:1409.1556, table 1, column D.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels of the convolutions of a block, and how many there are."""


class VGG16(nn.Module):
    """Maps images to the last features of each of the five blocks, before they are halved.

    Args:
        blocks: As `BLOCKS`; others are for tests.
    """

    shift: ClassVar[tuple[float, ...]] = (-0.030, -0.088, -0.188)
    scale: ClassVar[tuple[float, ...]] = (0.458, 0.448, 0.450)
    """LPIPS's mean and deviation of images in [-1, 1]."""

    def __init__(self, blocks: tuple[tuple[int, int], ...] = BLOCKS):
        super().__init__()
        layers: list[nn.Module] = []
        self.ends = []
        here = 3
        for wide, count in blocks:
            for _ in range(count):
                layers += [nn.Conv2d(here, wide, 3, padding=1), nn.ReLU()]
                here = wide
            self.ends.append(len(layers) - 1)
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-1])
        self.smallest = 2 ** (len(blocks) - 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """Features of images in [-1, 1]; grey ones count as three equal channels."""
        x = x.expand(-1, 3, -1, -1)
        shift, scale = (
            torch.tensor(v, device=x.device)[:, None, None] for v in (self.shift, self.scale)
        )
        x, found = (x - shift) / scale, []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self.ends:
                found.append(x)
        return found
