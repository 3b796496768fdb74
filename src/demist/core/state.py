"""Times broadcast from the left, and what a state may be.

A time of shape `()`, `(B,)` or `(B, F)` pairs with a state of shape `(B, F, ...)`: one time for
all, one per sample (training), one per frame (video). Trailing broadcasting, torch's own rule,
would silently pair a time of shape `(B,)` with the *last* axis whenever that has length B.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from demist.core.fields import Fields, require_leading

State = Any
"""A state: a tensor `(B, ...)`, or `Fields` of several.

Solvers, guidance and objectives add states, scale them and ask for noise like them; nothing else.
"""


def left(c: Tensor, x: State) -> Tensor:
    """Align the coefficient `c` with the leading axes of the state `x`.

    Args:
        c: Coefficient of shape `()`, or of the shape of `x`'s leading axes.
        x: State of shape `(B, ...)`.

    Returns:
        `c` itself if 0-dimensional (it broadcasts with anything and never promotes `x`);
        else `c` with trailing axes of length 1, in `x`'s dtype and on `x`'s device; for `Fields`
        `c` itself, which they align with every field.

    Raises:
        ValueError: If `c`'s shape is not the shape of `x`'s leading axes.
    """
    if c.ndim == 0:
        return c
    require_leading(c, x)
    if isinstance(x, Fields):
        return c
    return c.reshape(c.shape + (1,) * (x.ndim - c.ndim)).to(x)


def combine(weights: Iterable[Tensor | float], states: Iterable[State]) -> State:
    """The linear combination `sum_j w_j states_j`, for single numbers w_j.

    On tensors the terms are added in place, to the new tensor that the first term makes: a step's
    own cost is that of allocating memory, more than of the arithmetic.
    """
    total = None
    for w, y in zip(map(float, weights), states, strict=True):
        if total is None:
            total = w * y
        elif isinstance(total, Tensor):
            total.add_(y, alpha=w)
        else:
            total = total + w * y
    return total


def where(condition: Tensor, a: State, b: State) -> State:
    """`a` where the `condition` holds, else `b`; its axes are the leading axes of the states."""
    if isinstance(a, Fields):
        return a.map(lambda x, y: where(condition, x, y), b)
    return torch.where(condition.reshape(condition.shape + (1,) * (a.ndim - condition.ndim)), a, b)


def mean_square(x: State, dims: Tensor | None = None) -> Tensor:
    """Sum of the squares of each sample over its numbers, `(B,)`.

    Args:
        x: State.
        dims: How many numbers count, `(B,)`; None: all.
    """
    if isinstance(x, Tensor) and dims is None:
        return x.square().flatten(1).mean(1)
    parts = [x] if isinstance(x, Tensor) else [x[name] for name in x]
    total = torch.stack([part.square().flatten(1).sum(1) for part in parts]).sum(0)
    if dims is None:
        return total / sum(part[0].numel() for part in parts)
    return total / dims.to(total)
