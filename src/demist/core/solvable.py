"""Where what a network says leaves the data open, and the nearest time where it does not.

In pure noise (alpha = 0) the state says nothing of the data, so a network that predicts the noise,
or the score, leaves x0 open. Whoever starts there starts a little later.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from demist.core.denoiser import Denoiser, Model

EARLIER = 1e-3
"""How much earlier than pure noise, at most."""


def denoisers(model: Model) -> Iterator[Denoiser]:
    """Those of which a model is made."""
    if isinstance(model, Denoiser):
        yield model
    elif isinstance(model, nn.Module):
        yield from (inner for inner in model.modules() if isinstance(inner, Denoiser))
    else:
        for inner in getattr(model, "__dict__", {}).values():
            if isinstance(inner, Model):
                yield from denoisers(inner)


def solvable(model: Model, t: Tensor, room: Tensor | float = EARLIER) -> Tensor:
    """`t`, a little earlier where alpha = 0 and a denoiser in the model leaves x0 open there.

    Args:
        model: Any denoiser.
        t: Times, of any shape.
        room: The most by which a time may change, a number or one for each; not above `EARLIER`.
    """
    earlier = t - torch.as_tensor(room, dtype=t.dtype, device=t.device).clamp(max=EARLIER)
    for denoiser in denoisers(model):
        alpha, sigma = denoiser.schedule(t)
        rates = partial(denoiser.schedule.rates, t)
        a, b = denoiser.parameterization.row(alpha, sigma, rates)
        t = torch.where((alpha == 0) & (alpha * b - sigma * a == 0), earlier, t)
    return t


def solvable_grid(model: Model, grid: Tensor) -> Tensor:
    """The times of a grid, each moved by half a step at most; see `solvable`."""
    if len(grid) < 2:
        return grid
    steps = grid.diff().abs()
    return solvable(model, grid, torch.cat([steps, steps[-1:]]) / 2)
