"""How far two images are apart in the features of a network that looks at both.

Two distances. Of features f_l with channels c at places p, on layer l:

    scaled:  mean over l, c, p of ((f_lcp(x) - f_lcp(y)) / s_lc)^2, s the deviation on real images;
    LPIPS:   sum over l of the mean over p of sum_c w_lc (g_lcp(x) - g_lcp(y))^2,
             where g = f / |f|, its length taken over the channels of a place.

The first is a quadratic form where features are linear. The second with the weights of its authors
is LPIPS; with others it must not be called so.

References:
    Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
        arXiv:1801.03924, eq. 1.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Features = Callable[[Tensor], Sequence[Tensor]]
"""Maps images `(B, C, H, W)` in [-1, 1] to maps `(B, c, h, w)`, one for each layer."""

SMALL = 1e-20
"""Least squared length of a place's features, so that its root has a gradient."""


def inverse_deviations(maps: Sequence[Tensor]) -> list[Float[Tensor, "c 1 1"]]:
    """1 / s of every channel of the features of real images; 0 of one that is always the same."""
    found = []
    for layer in maps:
        std = layer.float().transpose(0, 1).flatten(1).std(1, correction=0)
        found.append(torch.where(std > 1e-6, 1 / std.clamp(min=1e-6), 0.0)[:, None, None])
    return found


def scaled_distance(
    a: Sequence[Tensor], b: Sequence[Tensor], inverse: Sequence[Tensor]
) -> Float[Tensor, " b"]:
    """The first distance above, of features `a` and `b`: `(B,)`."""
    layers = zip(a, b, inverse, strict=True)
    each = [((x.float() - y.float()) * s).square().flatten(1).mean(1) for x, y, s in layers]
    return torch.stack(each).mean(0)


def lpips(a: Sequence[Tensor], b: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """The second distance above, of features `a` and `b` with `weights`, each `(c,)`: `(B,)`."""
    total = a[0].new_zeros(len(a[0]), dtype=torch.float32)
    for x, y, w in zip(a, b, weights, strict=True):
        off = (_unit(x.float()) - _unit(y.float())).square()
        total = total + (off * w.float()[:, None, None]).sum(1).mean((1, 2))
    return total


def _unit(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    return x / (x.square().sum(1, keepdim=True).clamp(min=SMALL).sqrt() + 1e-10)
