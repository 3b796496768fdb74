"""A transformer for images (DiT); with a prompt, words and patches attend to one another (MM-DiT).

    patches + positions -> blocks, each modulated by time and class -> patches -> pixels
    words   ------------->   their own weights, one joint attention

Every block scales, shifts and gates its branches by what the embedding says, and all of that starts
at zero (adaLN-zero): a new network returns exactly zero.

Legend: b batch, n patches, m words, c width.

References:
    Peebles, Xie: Scalable Diffusion Models with Transformers, 2022, arXiv:2212.09748, section 3.2.
    Esser et al.: Scaling Rectified Flow Transformers, 2024, arXiv:2403.03206, figure 2 (two streams
        with joint attention).
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
from demist.networks.attention import attend, heads, joined
from demist.networks.conditioning import ConditionEmbedding, Specs, first_classes, silence
from demist.networks.layers import (
    TimeEmbedding,
    add_class,
    class_table,
    dropout_layer,
    side_by_side,
    sinusoid,
    zeroed,
)
from demist.networks.network import Network


class Stream(nn.Module):
    """What one kind of token has to itself in a block.

    Args:
        width: c.
        head_dim: Channels per attention head.
        qk_norm: Normalise queries and keys.
        dropout: Inside the hidden layer.
        updated: Whether the block changes these tokens; else the others only read them.
    """

    def __init__(self, width: int, head_dim: int, qk_norm: bool, dropout: float, updated: bool):
        super().__init__()
        self.head_dim, self.updated = head_dim, updated
        self.modulation = zeroed(nn.Linear(width, (6 if updated else 2) * width))
        self.to_qkv = nn.Linear(width, 3 * width)
        self.norm_q = nn.RMSNorm(head_dim, eps=1e-5) if qk_norm and updated else nn.Identity()
        self.norm_k = nn.RMSNorm(head_dim, eps=1e-5) if qk_norm else nn.Identity()
        if updated:
            self.to_out = nn.Linear(width, width)
            self.linear_1, self.linear_2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.dropout = dropout_layer(dropout)

    def qkv(self, x: Float[Tensor, "b n c"], shift: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of the tokens."""
        q, k, v = self.to_qkv(modulated(x, shift, scale)).chunk(3, dim=2)
        return (
            self.norm_q(heads(q, self.head_dim)),
            self.norm_k(heads(k, self.head_dim)),
            heads(v, self.head_dim),
        )

    def update(
        self, x: Float[Tensor, "b n c"], attended: Tensor, modulation: tuple[Tensor, ...]
    ) -> Float[Tensor, "b n c"]:
        """The tokens after attention and hidden layer, each branch with its gate."""
        gate, shift, scale, gate_2 = modulation
        x = x + gate * self.to_out(attended)
        y = F.gelu(self.linear_1(modulated(x, shift, scale)), approximate="tanh")
        hidden: Tensor = self.linear_2(self.dropout(y))
        return x + gate_2 * hidden


class JointBlock(nn.Module):
    """One block over patches and, if there are any, words."""

    attends = True

    def __init__(self, image: Stream, text: Stream | None):
        super().__init__()
        self.image, self.text = image, text

    def forward(
        self, x: Tensor, y: Tensor | None, emb: Tensor, weight: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Transform patches x and words y; `weight` is of all tokens, patches first."""
        mod_x = self.image.modulation(emb)[:, None].chunk(6, dim=2)
        q, k, v = self.image.qkv(x, mod_x[0], mod_x[1])
        if self.text is None or y is None:
            return self.image.update(x, joined(attend(q, k, v, words=0)), mod_x[2:]), y
        mod_y = self.text.modulation(emb)[:, None].chunk(6 if self.text.updated else 2, dim=2)
        q_y, k_y, v_y = self.text.qkv(y, mod_y[0], mod_y[1])
        q = torch.cat([q, q_y], 2) if self.text.updated else q
        k, v = torch.cat([k, k_y], 2), torch.cat([v, v_y], 2)
        attended = joined(attend(q, k, v, weight, y.shape[1]))
        n = x.shape[1]
        if self.text.updated:
            y = self.text.update(y, attended[:, n:], mod_y[2:])
        return self.image.update(x, attended[:, :n], mod_x[2:]), y


class DiT(Network):
    """Transformer that maps (image, time, conditions) to an image of the same size.

    Args:
        in_channels: Channels of the image.
        out_channels: Channels of the result; as many as `in_channels` by default.
        width: c, a multiple of `head_dim` and of 4.
        depth: Blocks.
        patch: Side of the patches that become tokens; it must divide the sides of the image.
        head_dim: Channels per attention head.
        num_classes: Number of classes; 0 for none. Label `num_classes` means "no class".
        inlets: Specs of further conditions, by name (see `demist.networks.conditioning`).
        dropout: Probability of dropping a hidden unit, in [0, 1).
        qk_norm: Normalise attention's queries and keys.
        time_scale: As in `UNet`.
        max_period: As in `UNet`.

    Raises:
        UsageError: Arguments that do not fit together.
    """

    name: ClassVar[str] = "dit"
    folder: ClassVar[str] = "transformer"
    kinds: ClassVar[tuple[str, ...]] = ("images",)
    given: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels", "num_classes", "inlets")

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int | None = None,
        width: int = 128,
        depth: int = 4,
        patch: int = 2,
        head_dim: int = 32,
        num_classes: int = 0,
        inlets: Specs | None = None,
        dropout: float = 0.0,
        qk_norm: bool = True,
        time_scale: float = 30.0,
        max_period: float = 1000.0,
    ):
        super().__init__()
        self._config = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "width": width,
            "depth": depth,
            "patch": patch,
            "head_dim": head_dim,
            "num_classes": num_classes,
            "inlets": {name: dict(spec) for name, spec in (inlets or {}).items()},
            "dropout": dropout,
            "qk_norm": qk_norm,
            "time_scale": time_scale,
            "max_period": max_period,
        }
        if min(width, head_dim, depth, patch) < 1 or width % head_dim or width % 4:
            raise UsageError(
                f"width={width}, head_dim={head_dim}, depth={depth}, patch={patch} is no network; "
                f"choose a width that is a multiple of head_dim and of 4, and 1 or more of the rest"
            )
        self.in_channels, self.patch = in_channels, patch
        self.time_embedding = TimeEmbedding(width, width, time_scale, max_period)
        self.class_name, count, others = first_classes(num_classes, inlets)
        self.class_embedding = class_table(count, width)
        self.intake = ConditionEmbedding(others, width, width, width, patch)
        if self.intake.has("extra"):
            raise UsageError(
                "a transformer has one joint attention, so no condition can have one of its own "
                "(route extra); use the route tokens"
            )
        entering = (in_channels + self.intake.concat_channels) * patch**2
        self.conv_in = nn.Conv2d(entering, width, 1)
        words = self.intake.has("tokens")

        def stream(updated: bool) -> Stream:
            return Stream(width, head_dim, qk_norm, dropout, updated)

        self.blocks = nn.ModuleList(
            JointBlock(stream(True), stream(i < depth - 1) if words else None) for i in range(depth)
        )
        self.modulation_out = zeroed(nn.Linear(width, 2 * width))
        outputs = in_channels if out_channels is None else out_channels
        self.conv_out = zeroed(nn.Conv2d(width, outputs * patch**2, 1))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them: `DiT(**net.config)` is a twin."""
        return copy.deepcopy(self._config)

    @property
    def columns(self) -> dict[str, dict[str, int]]:
        """See `Network.columns`."""
        channels = self.intake.columns(self.in_channels)
        return {"conv_in.weight": {k: n * self.patch**2 for k, n in channels.items()}}

    def silence(self, names: Collection[str]) -> None:
        """See `Network.silence`."""
        words = [k for k in names if self.intake.inlets.get(k, {}).get("route") == "tokens"]
        if words:
            raise UsageError(
                f"in a transformer words and patches share one attention, so {words[0]} cannot be "
                f"told to a dit that has learned without words; start from one with a prompt, or "
                f"from a unet"
            )
        silence(self.class_embedding, self.class_name, self.intake, names)

    @classmethod
    def arguments(
        cls, shape: Sequence[int], outputs: int, inlets: Specs, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Network.arguments`."""
        out = outputs * shape[0]
        return {**options, "in_channels": shape[0], "out_channels": out, "inlets": inlets}

    def require_fit(self, shape: Sequence[int]) -> None:
        """See `Network.require_fit`."""
        _, height, width = shape
        if height % self.patch or width % self.patch:
            near = size_near(height, width, self.patch)
            raise UsageError(
                f"images of {height}x{width} cannot be cut into patches of {self.patch}; use "
                f"--size {near} (with --fit pad all is kept), or --patch 1"
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
            UsageError: Channels, sides or conditions the network was not built for.
        """
        _, channels, height, wide = x.shape
        if channels != self.in_channels or height % self.patch or wide % self.patch:
            raise UsageError(
                f"Images of {channels} channels and {height}x{wide} pixels do not fit this "
                f"network, which was built for {self.in_channels} channels and patches of "
                f"{self.patch}; convert or resize them"
            )
        label = cond.pop(self.class_name, label)
        routed = self.intake(cond)
        emb = add_class(self.time_embedding(t), self.class_embedding, label)
        emb = F.silu(emb if routed.vector is None else emb + routed.vector)
        x, *beside = (F.pixel_unshuffle(y, self.patch) for y in (x, *routed.concat))
        x = side_by_side(self.conv_in, x, beside)
        x = x if routed.residual is None else x + routed.residual
        rows, columns = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + positions(rows, columns, tokens.shape[2]).to(tokens)
        weight = None
        if routed.tokens is not None and routed.weight is not None:
            weight = torch.cat([routed.weight.new_ones(tokens.shape[:2]), routed.weight], 1)
        y = routed.tokens
        for block in self.blocks:
            tokens, y = block(tokens, y, emb, weight)
        shift, scale = self.modulation_out(emb)[:, None].chunk(2, dim=2)
        x = modulated(tokens, shift, scale).transpose(1, 2).unflatten(2, (rows, columns))
        return F.pixel_shuffle(self.conv_out(x), self.patch).contiguous()


def modulated(x: Float[Tensor, "b n c"], shift: Tensor, scale: Tensor) -> Float[Tensor, "b n c"]:
    """Normalised over channels, scaled and shifted."""
    return F.layer_norm(x, x.shape[2:]) * (1 + scale) + shift


def positions(rows: int, columns: int, width: int) -> Float[Tensor, "n c"]:
    """Sines and cosines of the row in one half of the channels, of the column in the other."""
    y = sinusoid(torch.arange(rows).float(), width // 2, 1.0, 10_000)
    x = sinusoid(torch.arange(columns).float(), width // 2, 1.0, 10_000)
    grid = [y[:, None].expand(rows, columns, -1), x[None].expand(rows, columns, -1)]
    return torch.cat(grid, 2).flatten(0, 1)
