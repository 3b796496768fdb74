"""Layers of published transformers: patches, modulated norms, embeddings of the time.

Legend: b batch, n tokens, d width of a token, e width of the embedding, p side of a patch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.layers import embedding, side_by_side
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

    Raises:
        UsageError: A side holds no patch.
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
        if not 1 <= patch <= min(sides):
            raise UsageError(f"patches of side {patch} in {sides[0]} x {sides[1]} pixels")
        self.proj = nn.Conv2d(inputs, width, patch, stride=patch)
        self.width, self.patch, self.most, self.scale = width, patch, most, scale
        self.base = sides[0] // patch
        if most:
            table = positions(width, (most, most), self.base, scale)[None]
            self.register_buffer("pos_embed", table)

    def forward(
        self, x: Float[Tensor, "b c h w"], beside: Sequence[Tensor] = ()
    ) -> Float[Tensor, "b n d"]:
        tokens = side_by_side(self.proj, x, beside).flatten(2).transpose(1, 2)
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
    """The embedding of the time, of the prompt's vector, and perhaps of a guidance scale.

    Args:
        width: Of the embedding.
        pooled: Of the prompt's vector.
        guidance: Whether a guidance scale is embedded.
    """

    def __init__(self, width: int, pooled: int, guidance: bool = False):
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(256, width)
        self.guidance_embedder = TimestepEmbedding(256, width) if guidance else None
        self.text_embedder = TimestepEmbedding(pooled, width)

    def forward(
        self,
        t: Float[Tensor, " b"],
        pooled: Float[Tensor, "b p"],
        guidance: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b d"]:
        """The sum of the embeddings.

        Args:
            t: Times, from 0 to 1000.
            pooled: The prompt's vector.
            guidance: The scale, times 1000.
        """
        y: Tensor = self.timestep_embedder(timesteps(t, 256))
        if self.guidance_embedder is not None and guidance is not None:
            y = y + self.guidance_embedder(timesteps(guidance, 256))
        return y + self.text_embedder(pooled)  # type: ignore[no-any-return]


class LabelTime(nn.Module):
    """The embedding of the time and of the class; the last row of the table is no class."""

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.timestep_embedder = TimestepEmbedding(256, width)
        self.class_embedder = nn.Module()
        self.class_embedder.embedding_table = embedding(classes + 1, width)

    def forward(self, t: Float[Tensor, " b"], label: Tensor) -> Float[Tensor, "b d"]:
        table = self.get_submodule("class_embedder.embedding_table")
        y: Tensor = self.timestep_embedder(timesteps(t, 256, shift=1.0)) + table(label)
        return y
