"""Layers of IP-Adapters: tokens made of an image, and attention to them beside the prompt's.

Names of parameters are those of the published files.

References:
    Ye et al. 2023, "IP-Adapter", arXiv:2308.06721, eq. 5; Alayrac et al. 2022, "Flamingo",
    arXiv:2204.14198, appendix A.1.1, for the resampler.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.attention import mixed
from demist.networks.published.layers import Attention


class ImageTokens(nn.Module):
    """Tokens from one vector of an image.

    Args:
        features: Of the vector.
        tokens: How many are made.
        width: Of a token.
    """

    def __init__(self, features: int, tokens: int, width: int):
        super().__init__()
        self.proj = nn.Linear(features, tokens * width)
        self.norm = nn.LayerNorm(width)
        self.tokens = tokens

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b n k"]:
        y: Tensor = self.norm(self.proj(x).unflatten(-1, (self.tokens, -1)))
        return y


class Perceive(nn.Module):
    """Attention of a few tokens to many others and to themselves.

    Args:
        width: Of all tokens.
        inner: Of all heads together; each has 64.
    """

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.heads = inner // 64
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(
        self, few: Float[Tensor, "b n d"], many: Float[Tensor, "b m d"]
    ) -> Float[Tensor, "b n d"]:
        few = self.norm2(few)
        k, v = self.to_kv(torch.cat([self.norm1(many), few], dim=1)).chunk(2, dim=-1)
        q, k, v = (
            y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in (self.to_q(few), k, v)
        )
        y: Tensor = self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


class Resampler(nn.Module):
    """Tokens from the states of all patches of an image.

    Args:
        features: Of a state.
        tokens: How many are made.
        width: Of a token.
        inner: Width inside.
        heads: Width of all heads together.
        depth: Layers.
    """

    def __init__(self, features: int, tokens: int, width: int, inner: int, heads: int, depth: int):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, tokens, inner) / inner**0.5)
        self.proj_in, self.proj_out = nn.Linear(features, inner), nn.Linear(inner, width)
        self.norm_out = nn.LayerNorm(width)
        self.tokens = tokens
        self.layers = nn.ModuleList(
            nn.ModuleList([
                Perceive(inner, heads),
                nn.Sequential(
                    nn.LayerNorm(inner),
                    nn.Linear(inner, 4 * inner, bias=False),
                    nn.GELU(),
                    nn.Linear(4 * inner, inner, bias=False),
                ),
            ])
            for _ in range(depth)
        )  # fmt: skip

    def forward(self, x: Float[Tensor, "b m d"]) -> Float[Tensor, "b n k"]:
        many, few = self.proj_in(x), self.latents.expand(len(x), -1, -1)
        for layer in self.layers:
            attend, feed = layer.children()
            few = few + attend(few, many)
            few = few + feed(few)
        y: Tensor = self.norm_out(self.proj_out(few))
        return y


class Decoupled(Attention):
    """Attention to the prompt's tokens, and by keys and values of its own to an image's.

    Args:
        plain: The attention to the prompt; its layers are taken over.
        keys: Weights `(inner, k)` for the image's tokens.
        values: The same.
        tokens: How many of the last tokens are the image's.
        scale: What the second attention is multiplied by.

    Raises:
        UsageError: The weights are of other shapes than those for the prompt.
    """

    def __init__(self, plain: Attention, keys: Tensor, values: Tensor, tokens: int, scale: float):
        nn.Module.__init__(self)
        self.heads, self.tokens, self.scale = plain.heads, tokens, scale
        self.to_q, self.to_k, self.to_v = plain.to_q, plain.to_k, plain.to_v
        self.to_out = plain.to_out
        like = plain.to_k.weight
        for name, weight in (("to_k_ip", keys), ("to_v_ip", values)):
            if weight.shape != like.shape:
                raise UsageError(
                    f"weights {tuple(weight.shape)} for an image where those for the prompt are "
                    f"{tuple(like.shape)}"
                )
            layer = nn.Linear(like.shape[1], like.shape[0], bias=False, device="meta")
            layer.weight = nn.Parameter(weight.to(like), requires_grad=False)
            self.add_module(name, layer)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m k"] | None = None,
        mask: Float[Tensor, "b m"] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """As `Attention`; the last tokens of the context are the image's."""
        assert context is not None
        split = context.shape[1] - self.tokens
        words, seen = context[:, :split], context[:, split:]
        bias = None if mask is None else mask[:, None, None].to(x.dtype)
        q = self._heads(self.to_q(x))
        k, v = self._heads(self.to_k(words)), self._heads(self.to_v(words))
        y = mixed(q, k, v, bias, split)
        keys, values = self.get_submodule("to_k_ip"), self.get_submodule("to_v_ip")
        further = F.scaled_dot_product_attention(
            q, self._heads(keys(seen)), self._heads(values(seen))
        )
        out: Tensor = self.to_out[0]((y + self.scale * further).transpose(1, 2).flatten(2))
        return out

    def _heads(self, y: Tensor) -> Tensor:
        split: Tensor = y.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return split
