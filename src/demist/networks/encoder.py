"""The first half of a U-Net, which says one row of numbers about a noisy image.

References:
    Dhariwal, Nichol: Diffusion Models Beat GANs on Image Synthesis, 2021, arXiv:2105.05233,
        section 4 (a classifier of noisy images).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.networks.conditioning import Routed
from demist.networks.layers import Attention, Downsample, ResBlock, TimeEmbedding, group_norm
from demist.networks.unet_blocks import DownBlock


class Encoder(nn.Module):
    """Maps (image, time) to `outputs` numbers, such as the logits of classes.

    Args:
        in_channels: Channels of the image.
        outputs: Numbers per image.
        channels: Width at each level, finest first; each level halves the sides.
        blocks: Residual blocks per level.
        attention: Levels with self-attention, 0 = finest.
        patch: Side of the patches in which the image is read; the sides must be multiples of it.
            2 spares the costliest level.
        time_scale: As in `UNet`.
        max_period: As in `UNet`.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        outputs: int = 10,
        channels: Sequence[int] = (32, 64, 64),
        blocks: int = 1,
        attention: Sequence[int] = (2,),
        patch: int = 1,
        time_scale: float = 30.0,
        max_period: float = 1000.0,
    ):
        super().__init__()
        self._config = {
            "in_channels": in_channels,
            "outputs": outputs,
            "channels": list(channels),
            "blocks": blocks,
            "attention": list(attention),
            "patch": patch,
            "time_scale": time_scale,
            "max_period": max_period,
        }
        width = 4 * channels[0]
        self.time_embedding = TimeEmbedding(channels[0], width, time_scale, max_period)
        self.patch = patch
        self.conv_in = nn.Conv2d(in_channels * patch**2, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        here = channels[0]
        for level, wide in enumerate(channels):
            resnets = [
                ResBlock(here if i == 0 else wide, wide, width, scale_shift=True)
                for i in range(blocks)
            ]
            attentions = [Attention(wide) for _ in range(blocks if level in attention else 0)]
            down = [Downsample(wide)] if level < len(channels) - 1 else []
            self.down_blocks.append(DownBlock(resnets, attentions, down))
            here = wide
        self.norm_out = group_norm(here, None)
        self.linear_out = nn.Linear(here, outputs)

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them."""
        return dict(self._config)

    def forward(self, x: Float[Tensor, "b c h w"], t: Float[Tensor, " b"]) -> Float[Tensor, "b k"]:
        """Evaluate the network on images and the value of the clock."""
        emb = F.silu(self.time_embedding(t))
        x = F.pixel_unshuffle(x, self.patch).to(memory_format=torch.channels_last)
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x, emb, Routed())[-1]
        logits: Tensor = self.linear_out(F.silu(self.norm_out(x)).mean((2, 3)))
        return logits
