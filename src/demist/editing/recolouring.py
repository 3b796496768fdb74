"""Tells a change of looks from a change of shape: the first is one function of what was there.

Ink in another colour is the same everywhere: each place changes by `M z + b` of its source z, with
one M and b for a whole image, in pixels exactly and in latents nearly; and back likewise. What such
a function says has the edges of the source. Where strokes come, the source does not tell where;
where they go, the result does not tell where they were.
"""

import torch
from torch import Tensor

_ROUNDS = 5
"""Fits; in all but the first, places that are far from the last one count less."""
_RIDGE = 1e-6
"""Added to the squares, as a share of their mean, so that channels that never vary do no harm."""


def recoloured(
    source: Tensor, change: Tensor, places: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The nearest change that is one affine function of the source, and how near it is.

    Args:
        source: States, `(n, C, h, w)`.
        change: What is to be added to them, of the same shape.
        places: Where it counts, `(n, 1, h, w)`, 1 or 0; None: everywhere.

    Returns:
        The values of that function at all places, of the shape of `change`; and the share of the
        squares of the change that least squares explain, `(n,)`, 0 to 1: the smaller one of that by
        the source and that by the result, both adjusted for the C + 1 numbers that are fitted for
        each channel; 0 where nothing changes or there are no more places than these numbers. The
        values are of a fit in which strokes that have moved count less (Cauchy's weights).
    """
    x, y = _columns(source), _columns(change)
    inside = torch.ones_like(x[:, :, :1]) if places is None else _columns(places)
    there = _explained(x, y, _fit(x, y, inside), inside)
    back = _explained(x + y, y, _fit(x + y, y, inside), inside)
    made = _fit(x, y, inside)
    for _ in range(_ROUNDS - 1):
        off = (y - made).norm(dim=2, keepdim=True)
        usual = (off * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
        made = _fit(x, y, inside / (1 + (off / usual.clamp(min=1e-12)) ** 2))
    fitted = made.transpose(1, 2).unflatten(2, change.shape[2:])
    return fitted.to(change), torch.minimum(there, back).to(change)


def _columns(z: Tensor) -> Tensor:
    """Places below each other, `(n, h w, C)`."""
    return z.detach().cpu().double().flatten(2).transpose(1, 2)


def _fit(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The affine function of x that is nearest to y, at all places."""
    x = torch.cat([x, torch.ones_like(x[:, :, :1])], 2)
    squares, both = ((x * weights).transpose(1, 2) @ z for z in (x, y))
    mean = squares.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)[:, None, None]
    solved: Tensor = torch.linalg.solve(squares + _RIDGE * mean * torch.eye(x.shape[2]).to(x), both)
    return x @ solved


def _explained(x: Tensor, y: Tensor, made: Tensor, inside: Tensor) -> Tensor:
    """The share of the squares of y that a fit explains, adjusted for what it chooses."""
    count, own = inside.sum((1, 2)), x.shape[2] + 1
    left, total = ((z**2 * inside).sum((1, 2)) for z in (y - made, y))
    enough = (count > own) & (total > 0)
    share = 1 - left / (count - own).clamp(min=1) * count / total.clamp(min=1e-300)
    return torch.where(enough, share, 0).clamp(min=0)
