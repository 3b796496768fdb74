"""A U-Net for images: residual blocks at several resolutions, joined by skip connections.

    patches -> conv_in -> down_blocks -> mid_block -> up_blocks -> conv_out -> pixels
                              |___ every feature map ___|

On the way down each residual block and each halving leaves its feature map on a stack; on the way
up each residual block takes one from it, last in, first out. With `patch` the image enters as
patches (pixel-unshuffle) and leaves by the inverse, which spares the costly finest level.

The layout and the names are those of diffusers' `UNet2DModel`; with equal weights the two compute
the same function.

References:
    Ronneberger, Fischer, Brox: U-Net, 2015, arXiv:1505.04597.
    Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, 2020, arXiv:2006.11239, appendix B.
"""

import copy
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.layers import (
    Attention,
    Downsample,
    ResBlock,
    TimeEmbedding,
    Upsample,
    add_class,
    class_table,
    group_norm,
    zeroed,
)


class DownBlock(nn.Module):
    """One resolution on the way down: residual blocks, attention after each, then a halving."""

    def __init__(
        self,
        resnets: Iterable[ResBlock],
        attentions: Iterable[Attention],
        downsamplers: Iterable[Downsample],
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.downsamplers = nn.ModuleList(downsamplers)

    def forward(self, x: Tensor, emb: Tensor) -> list[Tensor]:
        """Every feature map on the way, the last being the result."""
        maps = []
        for resnet, attention in zip_longest(self.resnets, self.attentions):
            x = resnet(x, emb)
            x = attention(x) if attention else x
            maps.append(x)
        for down in self.downsamplers:
            x = down(x)
            maps.append(x)
        return maps


class MidBlock(nn.Module):
    """The coarsest resolution: two residual blocks, attention between them."""

    def __init__(self, resnets: Iterable[ResBlock], attentions: Iterable[Attention]):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        x = self.resnets[0](x, emb)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x, emb)


class UpBlock(nn.Module):
    """One resolution on the way up: residual blocks, each fed one skip, then a doubling."""

    def __init__(
        self,
        resnets: Iterable[ResBlock],
        attentions: Iterable[Attention],
        upsamplers: Iterable[Upsample],
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.upsamplers = nn.ModuleList(upsamplers)

    def forward(self, x: Tensor, emb: Tensor, stack: list[Tensor]) -> Tensor:
        """Take one feature map off the stack for every residual block."""
        for resnet, attention in zip_longest(self.resnets, self.attentions):
            x = resnet(torch.cat([x, stack.pop()], dim=1), emb)
            x = attention(x) if attention else x
        for up in self.upsamplers:
            x = up(x)
        return x


class UNet(nn.Module):
    """U-Net that maps (image, time, class) to an image of the same size.

    A new network returns exactly zero. Sides must be multiples of `multiple`.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the result; as many as `in_channels` by default.
        channels: width at each level, finest first; each level halves the sides of the one before.
        blocks: residual blocks per level on the way down; one more on the way up.
        attention: levels with self-attention after each block, 0 = finest.
        mid_attention: self-attention between the two blocks at the bottom.
        num_classes: number of classes; 0 for none. Label `num_classes` means "no class".
        patch: side of the patches in which the image is read and written, 1 for pixels; 2 spares
            the finest level and is about four times as fast.
        head_dim: channels per attention head; by default 64, or one head where that does not
            divide the channels.
        norm_groups: groups of every normalisation; by default groups of 16 channels, which a CPU
            computes fastest.
        dropout: probability of dropping a feature inside a residual block, in [0, 1).
        scale_shift: time and class scale and shift the normalised features; else they are added
            before the normalisation (`resnet_time_scale_shift` in diffusers: "scale_shift",
            "default").
        qk_norm: normalise attention's queries and keys.
        time_scale: highest frequency of the time features, in radians per unit of t. The default
            suits a clock of order one, within [-10, 10]; a discrete clock 0..999 wants
            `time_scale=1, max_period=10000`.
        max_period: ratio of the highest to the lowest frequency of the time features.

    Raises:
        UsageError: arguments that do not fit together.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int | None = None,
        channels: Sequence[int] = (64, 128),
        blocks: int = 1,
        attention: Sequence[int] = (),
        mid_attention: bool = True,
        num_classes: int = 0,
        patch: int = 1,
        head_dim: int | None = None,
        norm_groups: int | None = None,
        dropout: float = 0.0,
        scale_shift: bool = True,
        qk_norm: bool = False,
        time_scale: float = 30.0,
        max_period: float = 1000.0,
    ):
        super().__init__()
        self._config = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "channels": list(channels),
            "blocks": blocks,
            "attention": list(attention),
            "mid_attention": mid_attention,
            "num_classes": num_classes,
            "patch": patch,
            "head_dim": head_dim,
            "norm_groups": norm_groups,
            "dropout": dropout,
            "scale_shift": scale_shift,
            "qk_norm": qk_norm,
            "time_scale": time_scale,
            "max_period": max_period,
        }
        _check(channels, blocks, attention, patch)
        first, last, levels = channels[0], channels[-1], len(channels)
        width = 4 * first

        def resnet(inputs: int, outputs: int) -> ResBlock:
            return ResBlock(inputs, outputs, width, norm_groups, dropout, scale_shift)

        def attentions(level: int, count: int) -> list[Attention]:
            count = count if level in attention else 0
            return [attend(channels[level]) for _ in range(count)]

        def attend(width: int) -> Attention:
            return Attention(width, head_dim, norm_groups, qk_norm)

        self.in_channels, self.patch = in_channels, patch
        self.multiple = patch * 2 ** (levels - 1)
        self.time_embedding = TimeEmbedding(first + first % 2, width, time_scale, max_period)
        self.class_embedding = class_table(num_classes, width)
        self.conv_in = nn.Conv2d(in_channels * patch**2, first, 3, padding=1)

        here, stack = first, [first]  # channels of the running feature map and of those kept
        self.down_blocks = nn.ModuleList()
        for level, wide in enumerate(channels):
            resnets = [resnet(here if i == 0 else wide, wide) for i in range(blocks)]
            down = [Downsample(wide)] if level < levels - 1 else []
            self.down_blocks.append(DownBlock(resnets, attentions(level, blocks), down))
            stack += [wide] * (blocks + len(down))
            here = wide

        self.mid_block = MidBlock(
            [resnet(last, last), resnet(last, last)], [attend(last)] if mid_attention else []
        )

        self.up_blocks = nn.ModuleList()
        for level, wide in reversed(list(enumerate(channels))):
            resnets = []
            for _ in range(blocks + 1):
                resnets.append(resnet(here + stack.pop(), wide))
                here = wide
            up = [Upsample(wide)] if level > 0 else []
            self.up_blocks.append(UpBlock(resnets, attentions(level, blocks + 1), up))

        self.conv_norm_out = group_norm(first, norm_groups)
        outputs = in_channels if out_channels is None else out_channels
        self.conv_out = zeroed(nn.Conv2d(first, outputs * patch**2, 3, padding=1))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them: `UNet(**net.config)` is a twin."""
        return copy.deepcopy(self._config)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        label: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b c_out h w"]:
        """Evaluate the network.

        Args:
            x: (b, c, h, w) images, usually scaled to unit variance.
            t: (b,) value of the clock.
            label: (b,) classes in 0..num_classes, the last meaning "no class", as does None.

        Raises:
            UsageError: channels, sides or labels the network was not built for.
        """
        self._check_input(x)
        emb = F.silu(add_class(self.time_embedding(t), self.class_embedding, label))
        # .to, not .contiguous: with one channel only .to gives strides that convolutions recognise.
        x = F.pixel_unshuffle(x, self.patch).to(memory_format=torch.channels_last)
        stack = [self.conv_in(x)]
        for down_block in self.down_blocks:
            stack += down_block(stack[-1], emb)
        x = self.mid_block(stack[-1], emb)
        for up_block in self.up_blocks:
            x = up_block(x, emb, stack)
        x = self.conv_out(F.silu(self.conv_norm_out(x)))
        return F.pixel_shuffle(x, self.patch).contiguous()

    def _check_input(self, x: Tensor) -> None:
        _, channels, height, width = x.shape
        if channels != self.in_channels:
            raise UsageError(
                f"The images have {channels} channels but the network was built for "
                f"{self.in_channels}; convert them or set in_channels."
            )
        if height % self.multiple or width % self.multiple:
            raise UsageError(
                f"Images of {height}x{width} do not fit this network, whose patches and halvings "
                f"need sides that are multiples of {self.multiple}; resize or pad them, "
                "or choose fewer levels."
            )


def _check(channels: Sequence[int], blocks: int, attention: Sequence[int], patch: int) -> None:
    if not channels or min(channels) < 1 or blocks < 1:
        raise UsageError(
            f"channels={list(channels)} with blocks={blocks} is no network; "
            "give at least one level and one block."
        )
    strange = [level for level in attention if not 0 <= level < len(channels)]
    if strange:
        raise UsageError(
            f"attention={list(attention)} names levels that do not exist: {strange}; "
            f"levels run from 0 (finest) to {len(channels) - 1}."
        )
    if patch < 1:
        raise UsageError(f"patch={patch} is no side of a patch; choose 1, 2 or 4.")
