"""A small transformer that reads a prompt, trained with the network that it tells.

References:
    Vaswani et al.: Attention Is All You Need, 2017, arXiv:1706.03762.
    Xiong et al.: On Layer Normalization in the Transformer Architecture, 2020, arXiv:2002.04745
        (normalisation before each branch).
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.attention import attend, heads, joined
from demist.networks.layers import zeroed
from demist.networks.published.clip_text import ClipText


class TextBlock(nn.Module):
    """Self-attention and a hidden layer, each added to its input; a new block adds nothing."""

    attends = True

    def __init__(self, width: int, head_dim: int):
        super().__init__()
        self.head_dim = head_dim
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.to_out = nn.Linear(width, 3 * width), zeroed(nn.Linear(width, width))
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = zeroed(nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "b m c"], weight: Tensor) -> Float[Tensor, "b m c"]:
        """Transform x."""
        q, k, v = (heads(y, self.head_dim) for y in self.to_qkv(self.norm_1(x)).chunk(3, dim=2))
        x = x + self.to_out(joined(attend(q, k, v, weight)))
        update: Tensor = self.linear_2(F.gelu(self.linear_1(self.norm_2(x))))
        return x + update


class TextTransformer(nn.Module):
    """Reads token numbers with their weights; gives states `(b, m, c)`.

    The first token stands for the whole: its state is the pooled vector. Weights above 0 make no
    difference here, only to those who attend to the states.

    Args:
        vocabulary: Number of tokens.
        length: Longest prompt.
        width: Channels c, a multiple of 32.
        depth: Layers.
    """

    def __init__(self, vocabulary: int, length: int, width: int, depth: int):
        super().__init__()
        if width % 32:
            raise UsageError(f"a text transformer of width {width}: choose a multiple of 32")
        self.token = nn.Embedding(vocabulary, width)
        # Large beside what the blocks soon add, or all tokens of a prompt look alike to attention.
        self.position = nn.Parameter(0.5 * torch.randn(length, width))
        nn.init.normal_(self.token.weight, std=0.5)
        self.blocks = nn.ModuleList(TextBlock(width, 32) for _ in range(depth))
        self.norm_out = nn.LayerNorm(width)

    def forward(
        self, tokens: Int[Tensor, "b m"], weights: Float[Tensor, "b m"]
    ) -> Float[Tensor, "b m c"]:
        """States of all tokens, padding included."""
        there = (weights > 0).float()
        there[:, 0] = 1
        x = self.token(tokens) + self.position[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, there)
        states: Tensor = self.norm_out(x)
        return states

    def read(
        self, tokens: Int[Tensor, "b m"], weights: Float[Tensor, "b m"]
    ) -> tuple[Float[Tensor, "b m c"], Float[Tensor, "b c"]]:
        """States of all tokens, and the vector that stands for the whole."""
        states = self(tokens, weights)
        return states, states[:, 0]


class TwoTowers(nn.Module):
    """Two towers that read the same tokens, as in SDXL: one in CLIP's form, one of ours.

    CLIP's sees of each token those before it, ours sees all of them at once. States are those of
    both, side by side; the vector of the whole is that of the second.

    References:
        Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.1.

    Args:
        vocabulary: Number of tokens, those of CLIP's form.
        length: Longest prompt.
        width: Channels c of each tower, a multiple of 32.
        depth: Layers of each.
    """

    def __init__(self, vocabulary: int, length: int, width: int, depth: int):
        super().__init__()
        self.first = ClipText(vocabulary, length, width, depth)
        self.second = TextTransformer(vocabulary, length, width, depth)

    def read(
        self, tokens: Int[Tensor, "b m"], weights: Float[Tensor, "b m"]
    ) -> tuple[Float[Tensor, "b m c2"], Float[Tensor, "b c"]]:
        """States `(b, m, 2 c)` and vectors `(b, c)`."""
        one, _ = self.first.read(tokens, weights)
        two, vector = self.second.read(tokens, weights)
        return torch.cat([one, two], 2), vector


Tower = TextTransformer | ClipText | TwoTowers
TOWERS: dict[str, type[Tower]] = {"own": TextTransformer, "clip": ClipText, "clip+own": TwoTowers}
"""By the name in the spec of a condition."""


def tower_of(spec: Mapping[str, Any]) -> Tower:
    """What reads the token numbers of a condition, from its spec; see `networks.conditioning`."""
    made = TOWERS[spec.get("tower", "own")]
    return made(spec["vocabulary"], spec["length"], spec["width"], spec["depth"])


def widths_of(spec: Mapping[str, Any]) -> tuple[int, int]:
    """Channels of the states of a condition with tokens, and numbers in the vector of the whole."""
    if "vocabulary" not in spec:
        return int(spec["features"]), int(spec["features"])
    towers = 2 if spec.get("tower") == "clip+own" else 1
    return towers * int(spec["width"]), int(spec["width"])
