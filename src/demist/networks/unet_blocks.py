"""The parts of a U-Net: one resolution on the way down, the bottom, one resolution on the way up.

In each, self-attention and attention to tokens follow the residual block that they belong to.
"""

from collections.abc import Iterable
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
