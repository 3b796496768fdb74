"""A U-Net for waves: residual blocks at several resolutions in time, joined by skip connections.

    parts -> conv_in -> down_blocks -> mid_block -> up_blocks -> conv_out -> samples
                            |___ every feature map ___|

The layout is that of `demist.networks.unet` with one axis in the place of two: convolutions are
along the time, each halving makes it half as long. The wave enters in short parts, whose samples
are channels, and leaves likewise; that spares the longest levels, which cost most and see least.
Inside it is an image of height 1, which processors compute faster than an array of one axis.

Legend: b batch, c channels, l samples.

References:
    Kong et al.: DiffWave, 2020, arXiv:2009.09761 (diffusion of waves).
    Rouard, Hadjeres: CRASH, 2021, arXiv:2106.07431 (a U-Net along the time for short sounds).
    Ronneberger, Fischer, Brox: U-Net, 2015, arXiv:1505.04597.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.conditioning import (
    ConditionEmbedding,
    Specs,
    first_classes,
    silence,
    token_width,
)
from demist.networks.cross import CrossAttention
from demist.networks.layers import (
    Attention,
    ResBlock,
    TimeEmbedding,
    add_class,
    class_table,
    group_norm,
    side_by_side,
    zeroed,
)
from demist.networks.network import Network
from demist.networks.unet_blocks import ladder


class Halve(nn.Module):
    """Half the length, by a convolution that takes every second place."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (1, 3), stride=(1, 2), padding=(0, 1))

    def forward(self, x: Float[Tensor, "b c 1 l"]) -> Float[Tensor, "b c 1 _"]:
        y: Tensor = self.conv(x)
        return y


class Double(nn.Module):
    """Twice the length: each place twice, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))

    def forward(self, x: Float[Tensor, "b c 1 l"]) -> Float[Tensor, "b c 1 _"]:
        y: Tensor = self.conv(F.interpolate(x, scale_factor=(1.0, 2.0), mode="nearest"))
        return y


class UNet1D(Network):
    """U-Net that maps (wave, time, class) to a wave of the same length.

    A new network returns exactly zero. Lengths must be multiples of `multiple`.

    Args:
        in_channels: channels of the wave.
        out_channels: channels of the result; as many as `in_channels` by default.
        channels: width at each level, longest first; each level is half as long as the one before.
        blocks: residual blocks per level on the way down; one more on the way up.
        attention: levels with self-attention after each block, 0 = longest.
        mid_attention: self-attention between the two blocks at the bottom.
        num_classes: number of classes; 0 for none. Label `num_classes` means "no class".
        inlets: specs of further conditions, by name (see `demist.networks.conditioning`).
        cross: levels with attention to tokens after each block, if there are tokens; all by
            default. The bottom attends to them too.
        part: samples of the parts in which the wave is read and written, 1 for each alone.
        kernel: taps of the convolutions, odd.
        head_dim: channels per attention head; by default 64, or one head where that does not
            divide the channels.
        norm_groups: groups of every normalisation; by default groups of 16 channels.
        dropout: probability of dropping a feature inside a residual block, in [0, 1).
        qk_norm: normalise attention's queries and keys.
        time_scale: highest frequency of the time features, in radians per unit of t; see `UNet`.
        max_period: ratio of the highest to the lowest frequency of the time features.

    Raises:
        UsageError: arguments that do not fit together.
    """

    name: ClassVar[str] = "unet1d"
    axes: ClassVar[int] = 2
    given: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels", "num_classes", "inlets")

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int | None = None,
        channels: Sequence[int] = (64, 96, 128, 192),
        blocks: int = 1,
        attention: Sequence[int] = (),
        mid_attention: bool = True,
        num_classes: int = 0,
        inlets: Specs | None = None,
        cross: Sequence[int] | None = None,
        part: int = 8,
        kernel: int = 3,
        head_dim: int | None = None,
        norm_groups: int | None = None,
        dropout: float = 0.0,
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
            "inlets": {name: dict(spec) for name, spec in (inlets or {}).items()},
            "cross": None if cross is None else list(cross),
            "part": part,
            "kernel": kernel,
            "head_dim": head_dim,
            "norm_groups": norm_groups,
            "dropout": dropout,
            "qk_norm": qk_norm,
            "time_scale": time_scale,
            "max_period": max_period,
        }
        _check(channels, blocks, [*attention, *(cross or ())], part, kernel)
        first, levels = channels[0], len(channels)
        width = 4 * first

        def resnet(inputs: int, outputs: int) -> ResBlock:
            return ResBlock(inputs, outputs, width, norm_groups, dropout, True, (1, kernel))

        def attend(width: int) -> Attention:
            return Attention(width, head_dim, norm_groups, qk_norm)

        def attentions(level: int, count: int) -> list[Attention]:
            return [attend(channels[level]) for _ in range(count if level in attention else 0)]

        def middle() -> list[Attention]:
            return [attend(channels[-1])] if mid_attention else []

        self.class_name, count, others = first_classes(num_classes, inlets)
        strange = [name for name, spec in others.items() if spec["route"] == "residual"]
        if strange:
            raise UsageError(
                f"a network of waves takes no image in, as the condition {strange[0]} is; leave it "
                f"out"
            )
        tokens = token_width(others)
        self.intake = ConditionEmbedding(others, width, tokens)

        def crosses(level: int, count: int) -> list[CrossAttention]:
            to_tokens, to_extra = self.intake.has("tokens"), self.intake.has("extra")
            if not (to_tokens or to_extra) or (cross is not None and level not in cross):
                return []
            return [
                CrossAttention(channels[level], tokens, head_dim, norm_groups, to_tokens, to_extra)
                for _ in range(count)
            ]

        self.in_channels, self.part = in_channels, part
        self.multiple = part * 2 ** (levels - 1)
        self.time_embedding = TimeEmbedding(first + first % 2, width, time_scale, max_period)
        self.class_embedding = class_table(count, width)
        self.conv_in = _conv((in_channels + self.intake.concat_channels) * part, first, kernel)

        self.down_blocks, self.mid_block, self.up_blocks = ladder(
            channels, blocks, resnet, attentions, middle, crosses, Halve, Double
        )
        self.conv_norm_out = group_norm(first, norm_groups)
        outputs = in_channels if out_channels is None else out_channels
        self.conv_out = zeroed(_conv(first, outputs * part, kernel))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them: `UNet1D(**net.config)` is a twin."""
        return copy.deepcopy(self._config)

    @property
    def columns(self) -> dict[str, dict[str, int]]:
        """See `Network.columns`."""
        channels = self.intake.columns(self.in_channels)
        return {"conv_in.weight": {k: n * self.part for k, n in channels.items()}}

    def silence(self, names: Collection[str]) -> None:
        """See `Network.silence`."""
        silence(self.class_embedding, self.class_name, self.intake, names)

    @classmethod
    def arguments(
        cls, shape: Sequence[int], outputs: int, inlets: Specs, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Network.arguments`."""
        return {
            **options,
            "in_channels": shape[0],
            "out_channels": outputs * shape[0],
            "channels": options["channels_per_level"],
            "blocks": options["blocks_per_level"],
            "attention": options["attention_levels"],
            "cross": options["cross_levels"],
            "inlets": inlets,
        }

    def require_fit(self, shape: Sequence[int]) -> None:
        """See `Network.require_fit`."""
        match tuple(shape):
            case (_, length) if length % self.multiple == 0:
                return
            case (_, length):
                raise UsageError(
                    f"waves of {length} samples cannot be halved {len(self.down_blocks) - 1} times "
                    f"in parts of {self.part}; use other --seconds, or fewer --channels-per-level"
                )
        raise UsageError(
            f"the network {self.name} is for waves, and a state has the shape {tuple(shape)}; add "
            f"--codec wave, or leave --network out"
        )

    def forward(
        self,
        x: Float[Tensor, "b c l"],
        t: Float[Tensor, " b"],
        label: Int[Tensor, " b"] | None = None,
        **cond: Tensor,
    ) -> Float[Tensor, "b c_out l"]:
        """Evaluate the network.

        Args:
            x: (b, c, l) waves, usually scaled to unit variance.
            t: (b,) value of the clock.
            label: (b,) classes in 0..num_classes, the last meaning "no class", as does None.
            cond: The conditions named in `inlets`; see `demist.networks.conditioning`.

        Raises:
            UsageError: channels, conditions, lengths or labels the network was not built for.
        """
        if x.shape[1] != self.in_channels or x.shape[2] % self.multiple:
            raise UsageError(
                f"waves of shape {tuple(x.shape[1:])} do not fit this network: it was built for "
                f"{self.in_channels} channel(s) and lengths that are multiples of {self.multiple}"
            )
        label = cond.pop(self.class_name, label)
        routed = self.intake(cond)
        emb = add_class(self.time_embedding(t), self.class_embedding, label)
        emb = F.silu(emb if routed.vector is None else emb + routed.vector)
        x, *beside = (in_parts(y, self.part) for y in (x, *routed.concat))
        stack = [side_by_side(self.conv_in, x, beside)]
        for down_block in self.down_blocks:
            stack += down_block(stack[-1], emb, routed)
        x = self.mid_block(stack[-1], emb, routed)
        for up_block in self.up_blocks:
            x = up_block(x, emb, stack, routed)
        return in_line(self.conv_out(F.silu(self.conv_norm_out(x))), self.part)


def in_parts(x: Float[Tensor, "b c l"], part: int) -> Float[Tensor, "b k 1 m"]:
    """Each part's samples as channels, those of one channel side by side."""
    y: Tensor = x.unflatten(2, (-1, part)).movedim(3, 2).flatten(1, 2)[:, :, None]
    return y.to(memory_format=torch.channels_last)


def in_line(x: Float[Tensor, "b k 1 m"], part: int) -> Float[Tensor, "b c l"]:
    """The inverse of `in_parts`."""
    y: Tensor = x[:, :, 0].unflatten(1, (-1, part)).movedim(2, 3).flatten(2)
    return y


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, (1, kernel), padding=(0, kernel // 2))


def _check(
    channels: Sequence[int], blocks: int, attention: Sequence[int], part: int, kernel: int
) -> None:
    if not channels or min(channels) < 1 or blocks < 1:
        raise UsageError(
            f"channels={list(channels)} with blocks={blocks} is no network; "
            "give at least one level and one block."
        )
    strange = [level for level in attention if not 0 <= level < len(channels)]
    if strange:
        raise UsageError(
            f"attention={list(attention)} names levels that do not exist: {strange}; "
            f"levels run from 0 (longest) to {len(channels) - 1}."
        )
    if not 1 <= part <= 1024:
        raise UsageError(f"part={part}: give 1 to 1024 samples, such as 8.")
    if kernel < 1 or kernel > 1023 or kernel % 2 == 0:
        raise UsageError(f"kernel={kernel}: give an odd number of taps, such as 3 or 5.")
