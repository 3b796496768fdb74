"""Levels of published U-Nets and autoencoders: residual blocks, attention, a change of size."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.networks.published.layers import (
    Downsample,
    PixelAttention,
    Resnet,
    SpatialTransformer,
    Style,
    Upsample,
)

Attend = Callable[..., nn.Module]
"""Makes the attention for a number of channels (and a divisor of the sum, in the middle)."""


class Level(nn.Module):
    """Residual blocks, each with attention or all without.

    Args:
        widths: Channels in and out of each residual block.
        style: Of the network.
        attend: Makes the attention after each block; None: there is none.
        down: What halves the map at the end, if anything.
        up: What enlarges it.
    """

    def __init__(
        self,
        widths: Sequence[tuple[int, int]],
        style: Style,
        attend: Attend | None = None,
        down: nn.Module | None = None,
        up: nn.Module | None = None,
    ):
        super().__init__()
        if attend is not None:
            self.attentions = nn.ModuleList(attend(wide) for _, wide in widths)
        self.resnets = nn.ModuleList(Resnet(a, b, style) for a, b in widths)
        self.attends, self.halves = attend is not None, down is not None
        self.sampler = "downsamplers" if down is not None else "upsamplers"
        change = up if down is None else down
        if change is not None:
            self.add_module(self.sampler, nn.ModuleList([change]))

    def steps(
        self,
        x: Float[Tensor, "b c h w"],
        emb: Tensor | None = None,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        skips: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """The maps after each block, before the change of size.

        Args:
            x: The map.
            emb: Embedding of the time.
            context: Tokens of the prompt.
            mask: Their log-weights.
            skips: Maps that are put beside the input of each block, the last one first; they are
                taken from the list.
        """
        found = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x if skips is None else torch.cat([x, skips.pop()], dim=1), emb)
            if self.attends:
                attention = self.attentions[i]
                if isinstance(attention, SpatialTransformer):
                    assert context is not None
                    x = attention(x, context, mask)
                else:
                    x = attention(x)
            found.append(x)
        return found

    def change(
        self,
        x: Float[Tensor, "b c h w"],
        emb: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> Float[Tensor, "b c hh ww"]:
        """The map of another size; the same where the level does not change it.

        Args:
            x: The map.
            emb: Embedding of the time.
            size: Height and width to enlarge it to; None: twice as large.
        """
        if self.sampler in self._modules:
            layer = self.get_submodule(f"{self.sampler}.0")
            x = layer(x, size=size) if size and isinstance(layer, Upsample) else layer(x, emb)
        return x


class Middle(nn.Module):
    """A residual block, then attention and a further block, or nothing more.

    Args:
        channels: Of the map.
        style: Of the network.
        attentions: One for each further residual block; None: a block without attention.
        scale: Divisor of the sums.
    """

    def __init__(
        self,
        channels: int,
        style: Style,
        attentions: Sequence[nn.Module | None],
        scale: float = 1.0,
    ):
        super().__init__()
        self.attentions = nn.ModuleList(a for a in attentions if a is not None)
        self.attends = [a is not None for a in attentions]
        self.resnets = nn.ModuleList(
            Resnet(channels, channels, style, scale=scale) for _ in range(1 + len(attentions))
        )

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        emb: Tensor | None = None,
        context: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Float[Tensor, "b c h w"]:
        x = self.resnets[0](x, emb)
        known = iter(self.attentions)
        for attends, resnet in zip(self.attends, list(self.resnets)[1:], strict=True):
            if attends:
                attention = next(known)
                if isinstance(attention, SpatialTransformer):
                    assert context is not None
                    x = attention(x, context, mask)
                else:
                    x = attention(x)
            x = resnet(x, emb)
        return x


def levels_of(blocks: nn.Module) -> Iterator[Level]:
    """The levels of a list of modules."""
    for level in blocks.children():
        assert isinstance(level, Level)
        yield level


def pixel_attention(style: Style, head_dim: int | None, groups: int | None = None) -> Attend:
    """Makes attention among pixels with heads of `head_dim` channels; None: one head.

    `groups` are those of its norm; 0 for no norm, None for those of the style.
    """

    def make(channels: int, scale: float = 1.0) -> PixelAttention:
        heads = channels // (head_dim or channels)
        own = style.groups if groups is None else groups
        return PixelAttention(channels, heads, own, style.eps, scale)

    return make


def down_widths(channels: Sequence[int], blocks: Sequence[int]) -> list[list[tuple[int, int]]]:
    """Channels in and out of the residual blocks of each level on the way down."""
    widths, here = [], channels[0]
    for wide, count in zip(channels, blocks, strict=True):
        widths.append([(here if i == 0 else wide, wide) for i in range(count)])
        here = wide
    return widths


def up_widths(channels: Sequence[int], blocks: Sequence[int]) -> list[list[tuple[int, int]]]:
    """The same on the way up, where each block has a skip of the way down beside its input."""
    skips = [channels[0]]
    for level, row in enumerate(down_widths(channels, blocks)):
        skips += [wide for _, wide in row]
        if level < len(channels) - 1:
            skips.append(channels[level])
    widths, here = [], channels[-1]
    for wide, count in zip(reversed(channels), reversed(blocks), strict=True):
        row = []
        for _ in range(count + 1):
            row.append((here + skips.pop(), wide))
            here = wide
        widths.append(row)
    return widths


def down_sampler(kind: str, channels: int, style: Style) -> nn.Module:
    """What halves a map: "conv" or "resnet"."""
    if kind == "resnet":
        return Resnet(channels, channels, style, "down")
    return Downsample(channels, style.downsample_padding)


def up_sampler(kind: str, channels: int, style: Style) -> nn.Module:
    """What enlarges a map: "conv" or "resnet"."""
    return Resnet(channels, channels, style, "up") if kind == "resnet" else Upsample(channels)
