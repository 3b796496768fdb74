"""Cross-attention: queries from pixels, keys and values from tokens.

References:
    Rombach et al.: High-Resolution Image Synthesis with Latent Diffusion Models, 2021,
        arXiv:2112.10752, section 3.3.
    Ye et al.: IP-Adapter, 2023, arXiv:2308.06721, eq. 5 (attention of its own for an image).
"""

from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.attention import attend, heads, joined
from demist.networks.conditioning import Routed
from demist.networks.layers import group_norm, zeroed


class CrossAttention(nn.Module):
    """Attention of all pixels to the tokens, added to the input; and to extra tokens, if any.

    Args:
        channels: c, a multiple of `head_dim`.
        tokens: Width of the tokens.
        head_dim: Channels per head; by default 64, or one head where that does not divide them.
        norm_groups: Groups of the normalisation, as in `group_norm`.
        to_tokens: Whether there are tokens.
        to_extra: Whether there are extra tokens.
    """

    attends = True

    def __init__(
        self,
        channels: int,
        tokens: int,
        head_dim: int | None = None,
        norm_groups: int | None = None,
        to_tokens: bool = True,
        to_extra: bool = False,
    ):
        super().__init__()
        if head_dim is None:
            head_dim = 64 if channels % 64 == 0 else channels
        if head_dim < 1 or channels % head_dim:
            raise UsageError(
                f"{channels} channels cannot be shared among attention heads of {head_dim}; "
                "choose a head_dim that divides them."
            )
        self.head_dim = head_dim
        self.group_norm = group_norm(channels, norm_groups)
        self.to_q = nn.Linear(channels, channels)
        self.to_kv = nn.Linear(tokens, 2 * channels) if to_tokens else None
        self.to_out = zeroed(nn.Linear(channels, channels)) if to_tokens else None
        self.extra_kv = nn.Linear(tokens, 2 * channels) if to_extra else None
        self.extra_out = zeroed(nn.Linear(channels, channels)) if to_extra else None

    def forward(self, x: Float[Tensor, "b c h w"], routed: Routed) -> Float[Tensor, "b c h w"]:
        """Add to the pixels what their queries find in the tokens."""
        q = heads(self.to_q(self.group_norm(x).flatten(2).transpose(1, 2)), self.head_dim)
        y = x
        for kv, out, tokens, weight, prompt in (
            (self.to_kv, self.to_out, routed.tokens, routed.weight, True),
            (self.extra_kv, self.extra_out, routed.extra, routed.extra_weight, False),
        ):
            if kv is not None and out is not None and tokens is not None:
                k, v = (heads(z, self.head_dim) for z in kv(tokens).chunk(2, dim=2))
                words = tokens.shape[1] if prompt else None
                attended = out(joined(attend(q, k, v, weight, words)))
                y = y + attended.transpose(1, 2).unflatten(2, x.shape[2:])
        return y
