"""Attention between pixels and tokens, and a look at what attends to what.

Legend: b batch, c channels, n queries (pixels or tokens), m keys (tokens), d per head.

References:
    Vaswani et al.: Attention Is All You Need, 2017, arXiv:1706.03762, eq. 1.
    Rombach et al.: High-Resolution Image Synthesis with Latent Diffusion Models, 2021,
        arXiv:2112.10752, section 3.3 (cross-attention to a prompt).
    Ye et al.: IP-Adapter, 2023, arXiv:2308.06721, eq. 5 (attention of its own for an image).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Maps = dict[str, Float[Tensor, "b heads n m"]]

Mix = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Scaled dot-product attention of queries, keys, values and what is added to the logits."""

Control = Callable[[Mix, Tensor, Tensor, Tensor, Tensor | None, int | None], Tensor]
"""What computes attention while it is in control: `(mix, q, k, v, bias, words)` -> `mix(...)`.

`mix` is what would have been called with the tensors that follow it. `words` is how many of the
last keys are a prompt's tokens: 0 where pixels attend to pixels, all of them where pixels attend to
words. Where both attend to both the queries stand in the same order as the keys, pixels first. It
is None where no pixels ask, or where what they ask is no prompt.
"""

_control: ContextVar[Control | None] = ContextVar("who computes attention", default=None)
_lock, _open = threading.Lock(), 0
"""How many blocks `controlled` are open in all threads. Where there are none, the network that
torch compiles is one graph: it cannot look into a `ContextVar`, but compiles anew if this changes.
"""


def attend(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d"],
    weight: Float[Tensor, "b m"] | None = None,
    words: int | None = None,
) -> Float[Tensor, "b heads n d"]:
    """Scaled dot-product attention, softmax(q k^T / sqrt(d)) v.

    On a CPU, in bf16 and with up to 1,024 tokens, the products are written out: torch's fused
    kernel needs 1.5 to 9 times as long there for forward and backward.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        weight: How often each token counts: 1 as it is, 2 as if it stood there twice, 0 as if it
            did not. Each sample needs one above 0.
        words: How many of the last keys are a prompt's; see `Control`.
    """
    bias = None if weight is None else weight.log().to(q.dtype)[:, None, None]
    slow = q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.shape[-2] <= 1024
    return mixed(q, k, v, bias, words, written_out if slow else F.scaled_dot_product_attention)


def mixed(
    q: Float[Tensor, "b heads n d"],
    k: Float[Tensor, "b heads m d"],
    v: Float[Tensor, "b heads m d"],
    bias: Tensor | None = None,
    words: int | None = None,
    mix: Mix = F.scaled_dot_product_attention,
) -> Float[Tensor, "b heads n d"]:
    """Attention by `mix`, or by who is in control.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        bias: Added to the logits.
        words: How many of the last keys are a prompt's; see `Control`.
        mix: How it is computed.
    """
    control = _control.get() if _open else None
    return mix(q, k, v, bias) if control is None else control(mix, q, k, v, bias, words)


@contextmanager
def controlled(control: Control) -> Iterator[None]:
    """Let `control` compute the attention of all networks that are called inside."""
    global _open
    token = _control.set(control)
    with _lock:
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
        _control.reset(token)


def probabilities(
    q: Float[Tensor, "b heads n d"], k: Float[Tensor, "b heads m d"], bias: Tensor | None
) -> Float[Tensor, "b heads n m"]:
    """How much each query attends to each key: rows that add up to 1."""
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    rows: Tensor = (logits if bias is None else logits + bias).softmax(dim=-1)
    return rows


def written_out(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Attention by its formula."""
    return probabilities(q, k, bias) @ v


@contextmanager
def attention_maps(net: nn.Module) -> Iterator[Maps]:
    """Keep the attention of the last call inside, `(b, heads, n, m)` by the module's name.

    A module that attends twice, to tokens and to extra tokens, keeps the last.
    """
    path: list[str] = []
    kept: Maps = {}
    hooks = []

    def leave(*_: object) -> None:
        path.pop()

    def keep(
        mix: Mix, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, words: int | None
    ) -> Tensor:
        maps = probabilities(q, k, bias)
        kept[path[-1] if path else str(len(kept))] = maps.detach()
        return maps @ v

    for name, module in net.named_modules():
        if getattr(module, "attends", False):
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: path.append(name)))
            hooks.append(module.register_forward_hook(leave))
    try:
        with controlled(keep):
            yield kept
    finally:
        for hook in hooks:
            hook.remove()


def heads(x: Float[Tensor, "b n c"], head_dim: int) -> Float[Tensor, "b heads n d"]:
    """Split the channels among attention heads."""
    split: Tensor = x.unflatten(2, (-1, head_dim))
    return split.transpose(1, 2)


def joined(x: Float[Tensor, "b heads n d"]) -> Float[Tensor, "b n c"]:
    """The inverse of `heads`."""
    return x.transpose(1, 2).flatten(2)
