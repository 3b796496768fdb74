"""The parts of a U-Net: one resolution on the way down, the bottom, one resolution on the way up.

In each, self-attention and attention to tokens follow the residual block that they belong to.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn

from demist.networks.conditioning import Routed
from demist.networks.cross import CrossAttention
from demist.networks.layers import Attention, ResBlock


class DownBlock(nn.Module):
    """One resolution on the way down: residual blocks, attention after each, then a halving."""

    def __init__(
        self,
        resnets: Iterable[ResBlock],
        attentions: Iterable[Attention],
        downsamplers: Iterable[nn.Module],
        crosses: Iterable[CrossAttention] = (),
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.downsamplers = nn.ModuleList(downsamplers)
        self.crosses = nn.ModuleList(crosses)

    def forward(self, x: Tensor, emb: Tensor, routed: Routed) -> list[Tensor]:
        """Every feature map on the way, the last being the result."""
        maps = []
        for resnet, attention, cross in zip_longest(self.resnets, self.attentions, self.crosses):
            x = resnet(x, emb)
            x = attention(x) if attention else x
            x = cross(x, routed) if cross else x
            maps.append(x)
        for down in self.downsamplers:
            x = down(x)
            maps.append(x)
        return maps


class MidBlock(nn.Module):
    """The coarsest resolution: two residual blocks, attention between them."""

    def __init__(
        self,
        resnets: Iterable[ResBlock],
        attentions: Iterable[Attention],
        crosses: Iterable[CrossAttention] = (),
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.crosses = nn.ModuleList(crosses)

    def forward(self, x: Tensor, emb: Tensor, routed: Routed) -> Tensor:
        x = self.resnets[0](x, emb)
        for attention in self.attentions:
            x = attention(x)
        for cross in self.crosses:
            x = cross(x, routed)
        y: Tensor = self.resnets[1](x, emb)
        return y


class UpBlock(nn.Module):
    """One resolution on the way up: residual blocks, each fed one skip, then a doubling."""

    def __init__(
        self,
        resnets: Iterable[ResBlock],
        attentions: Iterable[Attention],
        upsamplers: Iterable[nn.Module],
        crosses: Iterable[CrossAttention] = (),
    ):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.upsamplers = nn.ModuleList(upsamplers)
        self.crosses = nn.ModuleList(crosses)

    def forward(self, x: Tensor, emb: Tensor, stack: list[Tensor], routed: Routed) -> Tensor:
        """Take one feature map off the stack for every residual block."""
        for resnet, attention, cross in zip_longest(self.resnets, self.attentions, self.crosses):
            x = resnet(torch.cat([x, stack.pop()], dim=1), emb)
            x = attention(x) if attention else x
            x = cross(x, routed) if cross else x
        for up in self.upsamplers:
            x = up(x)
        return x


def ladder(
    channels: Sequence[int],
    blocks: int,
    resnet: Callable[[int, int], ResBlock],
    attentions: Callable[[int, int], Sequence[Attention]],
    middle: Callable[[], Sequence[Attention]],
    crosses: Callable[[int, int], Sequence[CrossAttention]],
    halve: Callable[[int], nn.Module],
    double: Callable[[int], nn.Module],
) -> tuple[nn.ModuleList, MidBlock, nn.ModuleList]:
    """The way down, the bottom and the way up, joined by every feature map.

    Args:
        channels: Width at each level, finest first.
        blocks: Residual blocks per level on the way down; one more on the way up.
        resnet: Makes a residual block of so many channels in and out.
        attentions: Makes self-attention for so many blocks of a level.
        middle: Makes that of the bottom.
        crosses: Makes attention to tokens for so many blocks of a level.
        halve: Makes what ends a level of so many channels on the way down.
        double: The same on the way up.
    """
    here, stack = channels[0], [channels[0]]  # channels of the running feature map, of those kept
    levels, down_blocks, up_blocks = len(channels), nn.ModuleList(), nn.ModuleList()
    for level, wide in enumerate(channels):
        resnets = [resnet(here if i == 0 else wide, wide) for i in range(blocks)]
        down = [halve(wide)] if level < levels - 1 else []
        down_blocks.append(
            DownBlock(resnets, attentions(level, blocks), down, crosses(level, blocks))
        )
        stack += [wide] * (blocks + len(down))
        here = wide
    bottom = [resnet(here, here), resnet(here, here)]
    mid_block = MidBlock(bottom, middle(), crosses(levels - 1, 1))
    for level, wide in reversed(list(enumerate(channels))):
        resnets = []
        for _ in range(blocks + 1):
            resnets.append(resnet(here + stack.pop(), wide))
            here = wide
        up = [double(wide)] if level > 0 else []
        up_blocks.append(
            UpBlock(resnets, attentions(level, blocks + 1), up, crosses(level, blocks + 1))
        )
    return down_blocks, mid_block, up_blocks
