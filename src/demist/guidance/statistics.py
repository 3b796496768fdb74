"""Numbers measured on a state: the only place in guidance that needs more than a vector space.

Rules that use these work on tensors only. Each number is taken per sample, over all axes but the
first, so that no image depends on its batch.
"""

import torch
from torch import Tensor


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """`(B,)` values shaped to multiply `x: (B, ...)`."""
    return values.reshape(-1, *(1,) * (x.ndim - 1))


def norm(x: Tensor) -> Tensor:
    """Euclidean length of each sample."""
    return per_sample(x.flatten(1).norm(dim=1), x)


def std(x: Tensor) -> Tensor:
    """Standard deviation over the elements of each sample."""
    return per_sample(x.flatten(1).std(dim=1, correction=0), x)


def magnitude(x: Tensor, quantile: float) -> Tensor:
    """The quantile of |x| over the elements of each sample."""
    rows = x.flatten(1).abs()
    return per_sample(rows.float().quantile(quantile, dim=1).to(x.dtype), x)


def along(x: Tensor, direction: Tensor) -> Tensor:
    """The part of each sample of `x` that is parallel to `direction`; 0 where that is 0."""
    inner, square = (x * direction).flatten(1).sum(1), direction.square().flatten(1).sum(1)
    ratio = torch.where(square > 0, inner / square.clamp(min=torch.finfo(x.dtype).tiny), 0)
    return per_sample(ratio, x) * direction
