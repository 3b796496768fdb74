"""The U-Net of DDPM in the published form, so that a model trained here opens in diffusers."""

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from demist.errors import UsageError
from demist.networks.conditioning import ConditionEmbedding, Specs
from demist.networks.layers import dropout_layer, zeroed
from demist.networks.network import Network, require_channels, require_halvings
from demist.networks.published.unet_2d import UNet2D, UNet2DConfig
from demist.networks.unet import UNet

_MOST = 16
"""Levels, and blocks of a level."""


class UNet2DNetwork(Network):
    """The U-Net that diffusers has: maps (image, index) to an image, perhaps with others beside it.

    UNet2DModel is its only child. A new network returns exactly zero. Pipelines of diffusers give
    this network nothing but images, as more input channels (LDMSuperResolutionPipeline), so it
    takes no other conditions. It sees the state as it is, and the index of
    diffusers' timestep: a run has `clock = "index"`. With another clock it learns, but cannot be
    exported.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the result; as many as `in_channels` by default.
        channels: Width at each level, finest first; each level halves the sides of the one before.
        blocks: Residual blocks per level on the way down; one more on the way up.
        attention: Levels with self-attention after each block, 0 = finest.
        mid_attention: Self-attention between the two blocks at the bottom.
        head_dim: Channels per attention head; it must divide the channels where there is attention.
            None: one head.
        norm_groups: Groups of every normalisation; by default groups of about 16 channels.
        dropout: Probability of dropping a feature inside a residual block, in [0, 1).
        scale_shift: Time scales and shifts the normalised features; else it is added before the
            normalisation.
        inlets: Specs of conditions, all of the route `concat`.

    Raises:
        UsageError: Arguments that do not fit together, or a condition of another route.
    """

    name: ClassVar[str] = "unet2d"
    kinds: ClassVar[tuple[str, ...]] = ("images",)
    given: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels", "inlets")
    unit_variance: ClassVar[bool] = False

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int | None = None,
        channels: Sequence[int] = (64, 128),
        blocks: int = 1,
        attention: Sequence[int] = (),
        mid_attention: bool = True,
        head_dim: int | None = None,
        norm_groups: int | None = None,
        dropout: float = 0.0,
        scale_shift: bool = False,
        inlets: Specs | None = None,
    ):
        super().__init__()
        own = {name: dict(spec) for name, spec in (inlets or {}).items()}
        if others := [name for name, spec in own.items() if spec["route"] != "concat"]:
            raise UsageError(
                f"the network unet2d takes images as more input channels and no other conditions, "
                f"as in diffusers, and the data has {', '.join(others)}; use --no-labels "
                f"--no-captions, or the network unet"
            )
        attended = {channels[i] for i in attention if 0 <= i < len(channels)}
        attended |= set(channels[-1:]) if mid_attention else set()
        check_levels(channels, blocks, attention)
        dropout_layer(dropout)
        groups = groups_of(channels, norm_groups)
        if head_dim is not None and (head_dim < 1 or any(c % head_dim for c in attended)):
            raise UsageError(
                f"head_dim={head_dim} does not divide the channels {sorted(attended)}, where there "
                f"is attention; choose a number that does"
            )
        self._config: dict[str, Any] = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "channels": list(channels),
            "blocks": blocks,
            "attention": list(attention),
            "mid_attention": mid_attention,
            "head_dim": head_dim,
            "norm_groups": norm_groups,
            "dropout": dropout,
            "scale_shift": scale_shift,
            "inlets": own,
        }
        self.intake = ConditionEmbedding(own, 0, 0)
        levels = range(len(channels))
        self.net = UNet2D(
            UNet2DConfig(
                in_channels=in_channels + self.intake.concat_channels,
                out_channels=in_channels if out_channels is None else out_channels,
                down_block_types=tuple(
                    "AttnDownBlock2D" if i in attention else "DownBlock2D" for i in levels
                ),
                up_block_types=tuple(
                    "AttnUpBlock2D" if i in attention else "UpBlock2D" for i in reversed(levels)
                ),
                block_out_channels=tuple(channels),
                layers_per_block=blocks,
                dropout=dropout,
                attention_head_dim=head_dim,
                norm_num_groups=groups,
                attn_norm_num_groups=groups,  # else diffusers has no norm there with scale_shift
                resnet_time_scale_shift="scale_shift" if scale_shift else "default",
                add_attention=mid_attention,
            )
        )
        zeroed(self.net.conv_out)

    @property
    def config(self) -> dict[str, Any]:
        """See `Network.config`."""
        return copy.deepcopy(self._config)

    @property
    def columns(self) -> dict[str, dict[str, int]]:
        """See `Network.columns`."""
        return {"net.conv_in.weight": self.intake.columns(self._config["in_channels"])}

    def silence(self, names: Collection[str]) -> None:
        """See `Network.silence`: new input channels are all there is."""

    @classmethod
    def arguments(
        cls, shape: Sequence[int], outputs: int, inlets: Specs, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Network.arguments`: options of a run as in `UNet`, without patches."""
        return UNet.arguments(shape, outputs, inlets, {**options, "patch": 1})

    def require_fit(self, shape: Sequence[int]) -> None:
        """See `Network.require_fit`."""
        require_halvings(shape, len(self.net.down_blocks) - 1)

    def forward(
        self, x: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], **cond: Tensor
    ) -> Float[Tensor, "b c_out h w"]:
        """The prediction.

        Args:
            x: The noisy image.
            t: Index of the timestep, perhaps between two.
            cond: The conditions named in `inlets`.

        Raises:
            UsageError: Channels, sides or conditions the network was not built for.
        """
        require_channels(x, self._config["in_channels"])
        self.require_fit(x.shape[1:])
        y: Tensor = self.net.run(x, t.expand(len(x)), beside=self.intake(cond).concat)
        return y


def check_levels(channels: Sequence[int], blocks: int, attention: Sequence[int]) -> None:
    """Refuse levels that make no network of published form.

    Raises:
        UsageError: There are none or too many, one is too narrow, or one that attends is not there.
    """
    if not 1 <= len(channels) <= _MOST or min(channels) < 4 or not 1 <= blocks <= _MOST:
        raise UsageError(
            f"channels={list(channels)} with blocks={blocks} is no network; give 1 to {_MOST} "
            f"levels of 4 channels or more, and 1 to {_MOST} blocks"
        )
    if any(not 0 <= level < len(channels) for level in attention):
        raise UsageError(
            f"attention={list(attention)} names levels that do not exist; they run from 0 (finest) "
            f"to {len(channels) - 1}"
        )
    if channels[0] % 2:
        raise UsageError(f"channels={list(channels)}: the first is an even number")


def groups_of(channels: Sequence[int], norm_groups: int | None) -> int:
    """`norm_groups`, or the most groups that divide all channels and have 16 or more of each level.

    Raises:
        UsageError: It does not divide them.
    """
    common = math.gcd(*channels)
    if norm_groups is None:
        divisors = (g for g in range(1, common + 1) if common % g == 0)
        return max(g for g in divisors if common // g >= min(16, common))
    if norm_groups < 1 or common % norm_groups:
        raise UsageError(f"norm_groups={norm_groups} does not divide channels={list(channels)}")
    return norm_groups
