"""Layers of published transformers: patches, modulated norms, joint attention.

Legend: b batch, n tokens, d width of a token, e width of the embedding, p side of a patch.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.published.layers import TimestepEmbedding, timesteps


def plain_norm(width: int) -> nn.LayerNorm:
    """A norm without parameters."""
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)


def positions(
    width: int, sides: tuple[int, int], base: int, scale: float = 1.0
) -> Float[Tensor, "n d"]:
    """Sines and cosines of the column and the row of each patch, row by row.

    Args:
        width: d, a multiple of 4.
        sides: Rows and columns.
        base: Patches along a side in training, which the sides are stretched to.
        scale: Positions are divided by it.

    Raises:
        UsageError: The width is no multiple of 4.
    """
    if width % 4:
        raise UsageError(f"positions of width {width}; it must be a multiple of 4")
    rows, columns = (
        torch.arange(count, dtype=torch.float32) / (count / base) / scale for count in sides
    )
    quarter = torch.arange(width // 4, dtype=torch.float64) / (width / 4)
    rates = 10000.0**-quarter

    def waves(places: Tensor) -> Tensor:
        angles = places.double()[:, None] * rates
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    across = waves(columns).repeat(sides[0], 1)
    down = waves(rows).repeat_interleave(sides[1], 0)
    return torch.cat([across, down], dim=1).float()


class Patches(nn.Module):
    """An image to tokens, with their positions added.

    Args:
        inputs: Channels.
        width: Of a token.
        patch: Side of a patch.
        sides: Height and width in training, in pixels.
        most: Patches along a side of the saved table, whose middle is used; 0: no table is saved.
        scale: See `positions`.
    """

    pos_embed: Tensor

    def __init__(
        self,
        inputs: int,
        width: int,
        patch: int,
        sides: tuple[int, int],
        most: int = 0,
        scale: float = 1.0,
    ):
        super().__init__()
        self.proj = nn.Conv2d(inputs, width, patch, stride=patch)
        self.width, self.patch, self.most, self.scale = width, patch, most, scale
        self.base = sides[0] // patch
        if most:
            table = positions(width, (most, most), self.base, scale)[None]
            self.register_buffer("pos_embed", table)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        tokens: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        sides = (x.shape[2] // self.patch, x.shape[3] // self.patch)
        y: Tensor = tokens + self._positions(sides).to(tokens)
        return y

    def _positions(self, sides: tuple[int, int]) -> Tensor:
        if not self.most:
            return positions(self.width, sides, self.base, self.scale)
        if max(sides) > self.most:
            raise UsageError(
                f"{sides[0]} x {sides[1]} patches, and this network knows {self.most} x "
                f"{self.most}; make a smaller image"
            )
        top, left = ((self.most - side) // 2 for side in sides)
        table = self.pos_embed.unflatten(1, (self.most, self.most))
        middle: Tensor = table[0, top : top + sides[0], left : left + sides[1]].flatten(0, 1)
        return middle


def unpatched(
    tokens: Float[Tensor, "b n k"], patch: int, sides: tuple[int, int]
) -> Float[Tensor, "b c h w"]:
    """The image of height and width `sides` whose patches are the tokens, pixel by pixel."""
    rows, columns = sides[0] // patch, sides[1] // patch
    x = tokens.reshape(len(tokens), rows, columns, patch, patch, -1)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), -1, rows * patch, columns * patch)


def modulated(x: Float[Tensor, "b n d"], shift: Tensor, scale: Tensor) -> Float[Tensor, "b n d"]:
    """Scaled and shifted, sample by sample."""
    return x * (1 + scale[:, None]) + shift[:, None]


class AdaNorm(nn.Module):
    """A norm and the numbers that the embedding gives: shifts, scales and gates.

    Args:
        width: Of a token, and of the embedding.
        count: How many numbers for each channel.
        emb: What makes the embedding, where the norm has its own.
    """

    def __init__(self, width: int, count: int, emb: nn.Module | None = None):
        super().__init__()
        self.emb = emb
        self.linear = nn.Linear(width, count * width)
        self.norm, self.count = plain_norm(width), count

    def numbers(self, emb: Float[Tensor, "b d"]) -> tuple[Tensor, ...]:
        """`count` tensors `(b, d)`."""
        return self.linear(F.silu(emb)).chunk(self.count, dim=1)  # type: ignore[no-any-return]


class FinalNorm(AdaNorm):
    """A norm that the embedding scales and shifts."""

    def __init__(self, width: int):
        super().__init__(width, 2)

    def forward(
        self, x: Float[Tensor, "b n d"], emb: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b n d"]:
        scale, shift = self.numbers(emb)
        return modulated(self.norm(x), shift, scale)


class TextTime(nn.Module):
    """The embedding of the time and of the prompt's vector.

    Args:
        width: Of the embedding.
        pooled: Of the prompt's vector.
    """

    def __init__(self, width: int, pooled: int):
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(256, width)
        self.text_embedder = TimestepEmbedding(pooled, width)

    def forward(self, t: Float[Tensor, " b"], pooled: Float[Tensor, "b p"]) -> Float[Tensor, "b d"]:
        y: Tensor = self.timestep_embedder(timesteps(t, 256)) + self.text_embedder(pooled)
        return y


class JointAttention(nn.Module):
    """Attention among the tokens of the image and, if there are any, those of the prompt.

    Args:
        width: Of a token.
        heads: How many.
        joint: Whether the prompt's tokens take part.
        returns: Whether they get a result.
        norm: Whether queries and keys are normalised.
    """

    def __init__(self, width: int, heads: int, joint: bool, returns: bool, norm: bool):
        super().__init__()
        if heads < 1 or width % heads:
            raise UsageError(f"{width} channels cannot be split into {heads} heads")
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        names = ["norm_q", "norm_k"] + ["norm_added_q", "norm_added_k"] * joint
        for name in names:
            self.add_module(name, nn.RMSNorm(width // heads, 1e-6) if norm else nn.Identity())
        if joint:
            for name in ("add_q_proj", "add_k_proj", "add_v_proj"):
                self.add_module(name, nn.Linear(width, width))
        self.to_add_out = nn.Linear(width, width) if joint and returns else None

    def forward(
        self, x: Float[Tensor, "b n d"], context: Float[Tensor, "b m d"] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        parts = [self._read(x, ("to_q", "to_k", "to_v"), "norm")]
        if context is not None:
            names = ("add_q_proj", "add_k_proj", "add_v_proj")
            parts.append(self._read(context, names, "norm_added"))
        q, k, v = (torch.cat(pieces, dim=2) for pieces in zip(*parts, strict=True))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.to_out[0](y[:, : x.shape[1]])
        if context is None or self.to_add_out is None:
            return out, None
        return out, self.to_add_out(y[:, x.shape[1] :])

    def _read(self, x: Tensor, names: tuple[str, ...], norm: str) -> list[Tensor]:
        rows = [
            self.get_submodule(name)(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in names
        ]
        q, k = (self.get_submodule(f"{norm}_{s}")(y) for s, y in zip("qk", rows, strict=False))
        return [q, k, rows[2]]


class LabelTime(nn.Module):
    """The embedding of the time and of the class; the last row of the table is no class."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(256, width)
        self.class_embedder = nn.Module()
        self.class_embedder.embedding_table = nn.Embedding(classes + 1, width)

    def forward(self, t: Float[Tensor, " b"], label: Tensor) -> Float[Tensor, "b d"]:
        table = self.get_submodule("class_embedder.embedding_table")
        y: Tensor = self.timestep_embedder(timesteps(t, 256, shift=1.0)) + table(label)
        return y
