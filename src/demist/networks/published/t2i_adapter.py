"""Maps of a further image for the way down of a U-Net: diffusers' T2IAdapter.

It sees neither the noise nor the time, so its maps are made once for a whole sampling.

References:
    Mou et al. 2023, "T2I-Adapter: Learning Adapters to Dig out More Controllable Ability for
    Text-to-Image Diffusion Models", arXiv:2302.08453.
"""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import DataError
from demist.networks.published.published import Published


@dataclass(frozen=True)
class T2IAdapterConfig:
    """Keys and defaults of T2IAdapter's config.json; see its documentation."""

    in_channels: int = 3
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    num_res_blocks: int = 2
    downscale_factor: int = 8
    adapter_type: str = "full_adapter"


class Residual(nn.Module):
    """Two convolutions, the second of `kernel` pixels, added to the input."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        out: Tensor = x + self.block2(F.relu(self.block1(x)))
        return out


class Block(nn.Module):
    """Residual layers, after halving the map if `down`.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        depth: Residual layers.
        down: Whether the map is halved first; an odd side is rounded up.
        light: Whether the layers work on a quarter of the channels.
    """

    def __init__(self, inputs: int, outputs: int, depth: int, down: bool, light: bool):
        super().__init__()
        self.down = down
        inner = outputs // 4 if light else outputs
        self.in_conv = nn.Conv2d(inputs, inner, 1) if light or inputs != outputs else None
        self.resnets = nn.Sequential(*(Residual(inner, 3 if light else 1) for _ in range(depth)))
        self.out_conv = nn.Conv2d(inner, outputs, 1) if light else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k hh ww"]:
        x = F.avg_pool2d(x, 2, ceil_mode=True) if self.down else x
        x = x if self.in_conv is None else self.in_conv(x)
        x = self.resnets(x)
        return x if self.out_conv is None else self.out_conv(x)


class Body(nn.Module):
    """The blocks of one kind of adapter.

    Args:
        config: What it is.
    """

    def __init__(self, config: T2IAdapterConfig):
        super().__init__()
        light, wide = config.adapter_type == "light_adapter", config.channels
        self.factor = config.downscale_factor
        pixels = config.in_channels * self.factor**2
        if not light:
            self.conv_in = nn.Conv2d(pixels, wide[0], 3, padding=1)
        self.strides = [self.factor]
        rows: list[tuple[int, int, bool]] = [(pixels if light else wide[0], wide[0], False)]
        pairs = [*itertools.pairwise(wide), *([(wide[-1], wide[-1])] if light else [])]
        for i, (before, here) in enumerate(pairs):
            # An XL adapter halves once, at its third block; the others at each but the first.
            halves = i == 1 or config.adapter_type != "full_adapter_xl"
            rows.append((before, here, halves))
            self.strides.append(self.strides[-1] * (2 if halves else 1))
        self.widths = [row[1] for row in rows]
        self.body = nn.ModuleList(
            Block(inputs, outputs, config.num_res_blocks, down, light)
            for inputs, outputs, down in rows
        )

    def forward(self, image: Float[Tensor, "b c h w"]) -> list[Tensor]:
        x = F.pixel_unshuffle(image, self.factor)
        x = self.conv_in(x) if hasattr(self, "conv_in") else x
        maps = []
        for block in self.body:
            x = block(x)
            maps.append(x)
        return maps


class T2IAdapter(Published):
    """What to add on the way down of a U-Net, from a further image.

    Args:
        config: What it is.

    Raises:
        DataError: It is of a kind that is not known.

    Attributes:
        widths: Channels of its maps.
        strides: How many times smaller than the image each is.
    """

    kind: ClassVar[str] = "T2IAdapter"
    folder: ClassVar[str] = "adapter"
    config_class: ClassVar[type[Any]] = T2IAdapterConfig

    def __init__(self, config: T2IAdapterConfig):
        super().__init__(config)
        known = ("full_adapter", "full_adapter_xl", "light_adapter")
        if config.adapter_type not in known:
            raise DataError(
                f"{self.kind} has adapter_type = {config.adapter_type!r}; known are "
                f"{', '.join(known)}"
            )
        if not config.channels or config.in_channels < 1 or config.downscale_factor < 1:
            raise DataError(f"{self.kind} has no channels, or none of its image")
        self.adapter = Body(config)

    @property
    def widths(self) -> list[int]:
        """Channels of its maps."""
        return self.adapter.widths

    @property
    def strides(self) -> list[int]:
        """How many times smaller than the image each is."""
        return self.adapter.strides

    def maps(self, image: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """What `UNet2DCondition.run` takes as `inside`.

        Args:
            image: In [0, 1], of the size of the data, sides multiples of the first stride.
        """
        found: list[Tensor] = self.adapter(image.to(next(self.parameters())))
        return found
