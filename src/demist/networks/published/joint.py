"""Blocks of transformers of two streams: image and prompt attend to all tokens together.

Legend: b batch, n tokens of the image, m of the prompt, l = n + m, d width of a token, k half the
width of a head.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.attention import mixed
from demist.networks.published.layers import FeedForward
from demist.networks.published.tokens import AdaNorm, modulated, plain_norm


def rotations(
    places: Float64[Tensor, "l a"], widths: tuple[int, ...], base: float = 10000.0
) -> Float[Tensor, "l k 2"]:
    """Cosine and sine of the angle by which each pair of numbers of a query or key is turned.

    References:
        Su et al. 2021, "RoFormer", arXiv:2104.09864, section 3.2.2.

    Args:
        places: Where each token is along each axis, in float64.
        widths: How many numbers of a head tell the place along each axis; even.
        base: Rates fall from 1 to almost `1 / base`.
    """
    angles = [
        place[:, None] * base ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
        for place, width in zip(places.unbind(1), widths, strict=True)
    ]
    turns = torch.cat(angles, dim=1)
    return torch.stack([turns.cos(), turns.sin()], dim=-1).float()


def turned(x: Float[Tensor, "b h l w"], rotation: Float[Tensor, "l k 2"]) -> Tensor:
    """Neighbouring numbers of each head, taken as points in a plane, turned about the origin."""
    a, b = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = rotation.unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2).to(x.dtype)


def in_range(x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
    """In float16, where sums of large networks leave its range: their nearest numbers in it."""
    most = torch.finfo(torch.float16).max
    return x.clamp(-most, most) if x.dtype == torch.float16 else x


class JointAttention(nn.Module):
    """Attention among the tokens of the image and, if there are any, those of the prompt.

    Args:
        width: Of a token.
        heads: How many.
        joint: Whether the prompt's tokens take part.
        returns: Whether they get a result.
        norm: Whether queries and keys are normalised.
        projects: Whether the result passes one more layer.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        joint: bool,
        returns: bool,
        norm: bool,
        projects: bool = True,
    ):
        super().__init__()
        if heads < 1 or width % heads:
            raise UsageError(f"{width} channels cannot be split into {heads} heads")
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)] if projects else [])
        names = ["norm_q", "norm_k"] + ["norm_added_q", "norm_added_k"] * joint
        for name in names:
            self.add_module(name, nn.RMSNorm(width // heads, 1e-6) if norm else nn.Identity())
        if joint:
            for name in ("add_q_proj", "add_k_proj", "add_v_proj"):
                self.add_module(name, nn.Linear(width, width))
        self.to_add_out = nn.Linear(width, width) if joint and returns else None

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m d"] | None = None,
        rotation: Float[Tensor, "l k 2"] | None = None,
        words: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """The updates of the image and of the prompt.

        Args:
            x: Tokens of the image.
            context: Those of the prompt.
            rotation: By how much queries and keys are turned, the image first; see `rotations`.
            words: How many of the last tokens in x are the prompt's, where it is one stream.
        """
        parts = [self._read(x, ("to_q", "to_k", "to_v"), "norm")]
        if context is not None:
            names = ("add_q_proj", "add_k_proj", "add_v_proj")
            parts.append(self._read(context, names, "norm_added"))
            words = context.shape[1]
        q, k, v = (torch.cat(pieces, dim=2) for pieces in zip(*parts, strict=True))
        if rotation is not None:
            q, k = turned(q, rotation), turned(k, rotation)
        y = mixed(q, k, v, words=words).transpose(1, 2).flatten(2)
        out: Tensor = y[:, : x.shape[1]]
        for layer in self.to_out:
            out = layer(out)
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


class JointBlock(nn.Module):
    """Attention of both streams together, then a feed-forward layer for each.

    Args:
        width: Of a token.
        heads: How many.
        last: Whether the prompt's stream ends here.
        dual: Whether the image attends to itself once more.
        norm: Whether queries and keys are normalised.
    """

    def __init__(self, width: int, heads: int, last: bool, dual: bool, norm: bool):
        super().__init__()
        self.last, self.dual = last, dual
        self.norm1 = AdaNorm(width, 9 if dual else 6)
        self.norm1_context = AdaNorm(width, 2 if last else 6)
        self.attn = JointAttention(width, heads, True, not last, norm)
        self.attn2 = JointAttention(width, heads, False, False, norm) if dual else None
        self.norm2, self.ff = plain_norm(width), FeedForward(width, "gelu-approximate")
        self.ff_context = None if last else FeedForward(width, "gelu-approximate")

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m d"],
        emb: Float[Tensor, "b d"],
        rotation: Float[Tensor, "l k 2"] | None = None,
    ) -> tuple[Tensor, Tensor]:
        shift, scale, gate, shift2, scale2, gate2, *more = self.norm1.numbers(emb)
        y = self.norm1.norm(x)
        turns = self.norm1_context.numbers(emb)
        # The last block gives scale and shift in the other order: so it was published.
        order = (turns[1], turns[0]) if self.last else turns[:2]
        read = modulated(self.norm1_context.norm(context), *order)
        update, back = self.attn(modulated(y, shift, scale), read, rotation)
        x = x + gate[:, None] * update
        if self.attn2 is not None:
            x = x + more[2][:, None] * self.attn2(modulated(y, more[0], more[1]))[0]
        x = x + gate2[:, None] * self.ff(modulated(self.norm2(x), shift2, scale2))
        if self.ff_context is None:
            return x, context
        context = context + turns[2][:, None] * back
        further = modulated(self.norm2(context), turns[3], turns[4])
        return x, in_range(context + turns[5][:, None] * self.ff_context(further))
