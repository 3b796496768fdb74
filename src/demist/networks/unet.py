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
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.io.notation import size_near
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
    Downsample,
    ResBlock,
    TimeEmbedding,
    Upsample,
    add_class,
    class_table,
    group_norm,
    side_by_side,
    zeroed,
)
from demist.networks.network import Network
from demist.networks.unet_blocks import ladder


class UNet(Network):
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
        inlets: specs of further conditions, by name (see `demist.networks.conditioning`).
        cross: levels with attention to tokens after each block, if there are tokens; all by
            default. The bottom attends to them too.
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

    name: ClassVar[str] = "unet"
    kinds: ClassVar[tuple[str, ...]] = ("images",)
    given: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels", "num_classes", "inlets")

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
        inlets: Specs | None = None,
        cross: Sequence[int] | None = None,
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
            "inlets": {name: dict(spec) for name, spec in (inlets or {}).items()},
            "cross": None if cross is None else list(cross),
            "patch": patch,
            "head_dim": head_dim,
            "norm_groups": norm_groups,
            "dropout": dropout,
            "scale_shift": scale_shift,
            "qk_norm": qk_norm,
            "time_scale": time_scale,
            "max_period": max_period,
        }
        _check(channels, blocks, [*attention, *(cross or ())], patch)
        first, levels = channels[0], len(channels)
        width = 4 * first

        def resnet(inputs: int, outputs: int) -> ResBlock:
            return ResBlock(inputs, outputs, width, norm_groups, dropout, scale_shift)

        def attentions(level: int, count: int) -> list[Attention]:
            count = count if level in attention else 0
            return [attend(channels[level]) for _ in range(count)]

        def attend(width: int) -> Attention:
            return Attention(width, head_dim, norm_groups, qk_norm)

        def middle() -> list[Attention]:
            return [attend(channels[-1])] if mid_attention else []

        self.class_name, count, others = first_classes(num_classes, inlets)
        tokens = token_width(others)
        self.intake = ConditionEmbedding(others, width, tokens, first, patch)

        def crosses(level: int, count: int) -> list[CrossAttention]:
            to_tokens, to_extra = self.intake.has("tokens"), self.intake.has("extra")
            if not (to_tokens or to_extra) or (cross is not None and level not in cross):
                return []
            return [
                CrossAttention(channels[level], tokens, head_dim, norm_groups, to_tokens, to_extra)
                for _ in range(count)
            ]

        self.in_channels, self.patch = in_channels, patch
        self.multiple = patch * 2 ** (levels - 1)
        self.time_embedding = TimeEmbedding(first + first % 2, width, time_scale, max_period)
        self.class_embedding = class_table(count, width)
        entering = in_channels + self.intake.concat_channels
        self.conv_in = nn.Conv2d(entering * patch**2, first, 3, padding=1)

        self.down_blocks, self.mid_block, self.up_blocks = ladder(
            channels, blocks, resnet, attentions, middle, crosses, Downsample, Upsample
        )
        self.conv_norm_out = group_norm(first, norm_groups)
        outputs = in_channels if out_channels is None else out_channels
        self.conv_out = zeroed(nn.Conv2d(first, outputs * patch**2, 3, padding=1))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them: `UNet(**net.config)` is a twin."""
        return copy.deepcopy(self._config)

    @property
    def columns(self) -> dict[str, dict[str, int]]:
        """See `Network.columns`."""
        channels = self.intake.columns(self.in_channels)
        return {"conv_in.weight": {k: n * self.patch**2 for k, n in channels.items()}}

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
            "mid_attention": options["mid_attention"] and not cls.skips_middle(shape, options),
        }

    @classmethod
    def skips_middle(cls, shape: Sequence[int], options: Mapping[str, Any]) -> bool:
        """Whether the coarsest level has more positions than its self-attention may have.

        Args:
            shape: Of a state, `(C, H, W)`.
            options: As for `arguments`.
        """
        levels = len(options.get("channels") or options["channels_per_level"])
        most, side = options["mid_positions"], options["patch"] * 2 ** (levels - 1)
        return most is not None and (shape[1] // side) * (shape[2] // side) > most

    def require_fit(self, shape: Sequence[int]) -> None:
        """See `Network.require_fit`."""
        _, height, width = shape
        if height % self.multiple or width % self.multiple:
            near = size_near(height, width, self.multiple)
            halvings = len(self.down_blocks) - 1
            raise UsageError(
                f"images of {height}x{width} cannot be halved {halvings} times after patches of "
                f"{self.patch}; use --size {near} (with --fit pad all is kept), or fewer "
                "--channels-per-level"
            )

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        label: Int[Tensor, " b"] | None = None,
        **cond: Tensor,
    ) -> Float[Tensor, "b c_out h w"]:
        """Evaluate the network.

        Args:
            x: (b, c, h, w) images, usually scaled to unit variance.
            t: (b,) value of the clock.
            label: (b,) classes in 0..num_classes, the last meaning "no class", as does None.
            cond: The conditions named in `inlets`; see `demist.networks.conditioning`.

        Raises:
            UsageError: channels, conditions, sides or labels the network was not built for.
        """
        self._check_input(x)
        label = cond.pop(self.class_name, label)
        routed = self.intake(cond)
        emb = add_class(self.time_embedding(t), self.class_embedding, label)
        emb = F.silu(emb if routed.vector is None else emb + routed.vector)
        # .to, not .contiguous: with one channel only .to gives strides that convolutions recognise.
        x, *beside = (
            F.pixel_unshuffle(y, self.patch).to(memory_format=torch.channels_last)
            for y in (x, *routed.concat)
        )
        x = side_by_side(self.conv_in, x, beside)
        stack = [x if routed.residual is None else x + routed.residual]
        for down_block in self.down_blocks:
            stack += down_block(stack[-1], emb, routed)
        x = self.mid_block(stack[-1], emb, routed)
        for up_block in self.up_blocks:
            x = up_block(x, emb, stack, routed)
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
