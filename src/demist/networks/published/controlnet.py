"""A copy of the way down that reads a further image: diffusers' ControlNetModel.

References:
    Zhang et al. 2023, "Adding Conditional Control to Text-to-Image Diffusion Models",
    arXiv:2302.05543.
"""

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.networks.layers import zeroed
from demist.networks.published.unet_2d_condition import ConditionConfig, Trunk


@dataclass(frozen=True)
class ControlNetConfig(ConditionConfig):
    """Keys and defaults of ControlNetModel's config.json; see its documentation."""

    conditioning_channels: int = 3
    controlnet_conditioning_channel_order: str = "rgb"
    conditioning_embedding_out_channels: tuple[int, ...] = (16, 32, 96, 256)
    global_pool_conditions: bool = False


class Hint(nn.Module):
    """An image in [0, 1] to a map of the size of the latents, zero at the start."""

    def __init__(self, inputs: int, channels: tuple[int, ...], outputs: int):
        super().__init__()
        self.conv_in = nn.Conv2d(inputs, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for here, wide in itertools.pairwise(channels):
            self.blocks.append(nn.Conv2d(here, here, 3, padding=1))
            self.blocks.append(nn.Conv2d(here, wide, 3, padding=1, stride=2))
        self.conv_out = zeroed(nn.Conv2d(channels[-1], outputs, 3, padding=1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k hh ww"]:
        x = F.silu(self.conv_in(x))
        for block in self.blocks:
            x = F.silu(block(x))
        y: Tensor = self.conv_out(x)
        return y


class ControlNet(Trunk):
    """What to add to the maps of a U-Net of the same form, from a further image.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for blocks or embeddings that are not known.
    """

    kind: ClassVar[str] = "ControlNetModel"
    folder: ClassVar[str] = "controlnet"
    config_class: ClassVar[type[Any]] = ControlNetConfig

    def __init__(self, config: ControlNetConfig):
        super().__init__(config)
        channels = config.block_out_channels
        self.controlnet_cond_embedding = Hint(
            config.conditioning_channels, config.conditioning_embedding_out_channels, channels[0]
        )
        widths = [channels[0]]
        for i, (wide, count) in enumerate(zip(channels, self.blocks, strict=True)):
            widths += [wide] * (count + (i < len(channels) - 1))
        self.controlnet_down_blocks = nn.ModuleList(
            zeroed(nn.Conv2d(wide, wide, 1)) for wide in widths
        )
        self.controlnet_mid_block = zeroed(nn.Conv2d(channels[-1], channels[-1], 1))

    def control(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        hint: Float[Tensor, "b m hh ww"],
        *,
        strength: float | Tensor = 1.0,
        states: Float[Tensor, "b n d"] | None = None,
        mask: Float[Tensor, "b n"] | None = None,
        pooled: Float[Tensor, "b p"] | None = None,
        sizes: Float[Tensor, "b s"] | None = None,
        label: Tensor | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """What `UNet2DCondition.run` takes as `down` and `mid`.

        Args:
            x: The noisy latents.
            t: Index of the timestep.
            hint: The image, in [0, 1], of the size of the data.
            strength: Multiplies the result; of a tensor, `(b, 1, 1, 1)`.
            states: See `UNet2DCondition.run`, also for what follows.
            mask: Log-weights of the tokens.
            pooled: One vector of the prompt.
            sizes: Six numbers.
            label: A class.
        """
        config: ControlNetConfig = self.config_object
        emb = self.embedding(t, label, pooled, sizes, None)
        if config.controlnet_conditioning_channel_order == "bgr":
            hint = hint.flip(1)
        states = None if states is None else states.to(x.dtype)
        x = self.conv_in(x) + self.controlnet_cond_embedding(hint.to(x.dtype))
        x, skips = self.descend(x, emb, states, mask)
        x = x if self.mid_block is None else self.mid_block(x, emb, states, mask)
        down = [conv(skip) for conv, skip in zip(self.controlnet_down_blocks, skips, strict=True)]
        made = [*down, self.controlnet_mid_block(x)]
        if config.global_pool_conditions:
            made = [x.mean((2, 3), keepdim=True) for x in made]
        *down, mid = (x * strength for x in made)
        return down, mid
