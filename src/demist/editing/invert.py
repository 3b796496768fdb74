"""From data back to noise: the probability-flow ODE run upwards, and walks between the ends."""

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from demist.core import Conditioned, Gaussian, Model, State, solvable_grid
from demist.editing.unclamped import unclamped
from demist.samplers import Adams, Solver, checked_grid


def invert(
    model: Model, x: State, grid: Tensor, solver: Solver | None = None, **cond: Any
) -> State:
    """The noise from which the deterministic sampler would make `x`.

    The same solver on the reversed grid: `sample(free, invert(model, x, grid), grid)`, where
    `free = unclamped(model)`, returns to `x` with an error that falls at the solver's order.

    Where predictions are kept within the range of the data (`Denoiser.bounds`), many noises give
    one sample, so that there is no way back. The inversion runs without those bounds, and so must
    the sampler that is to return; a warning says so.

    Args:
        model: Any denoiser.
        x: Clean data, at `grid[-1]`.
        grid: A decreasing grid as for `sample`.
        solver: A deterministic one that can leave clean data: `Adams()` (default), `DDIM()`,
            `Heun()`. Solvers in the log-SNR, infinite there, need a grid that ends above 0.
        cond: Conditions, handed to the model.

    Returns:
        The state at `grid[0]`; at pure noise divide by sigma(1) for a standard normal draw.

    Raises:
        ValueError: If the solver is stochastic, or cannot leave clean data.

    References:
        Song, Meng & Ermon 2020, arXiv:2010.02502, section 4.3.
    """
    solver = Adams() if solver is None else solver
    if solver.stochastic:
        raise ValueError(
            f"{solver.name} draws noise, so no start leads to one given result; invert with a "
            f"deterministic solver such as adams"
        )
    free = unclamped(model)
    if free is not model:
        warnings.warn(
            "predictions are not kept within the range of the data while inverting, since no flow "
            "leads back through a clamp; sample from the result with demist.editing.unclamped"
            "(model)",
            stacklevel=2,
        )
    model = Conditioned(free, cond) if cond else free
    grid = checked_grid(grid)
    moved = solvable_grid(model, grid)
    *_, x = upwards(model, x, moved, solver)
    if isinstance(x, Tensor) and not x.isfinite().all():
        raise ValueError(
            f"{solver.name} cannot leave clean data, where the log-SNR is infinite; invert with "
            f"adams, ddim or heun, or end the grid a little above t = 0"
        )
    if moved[0] != grid[0]:
        x = (model.schedule(grid[0])[1] / model.schedule(moved[0])[1]) * x
    return x


@torch.no_grad()
def upwards(model: Model, x: State, grid: Tensor, solver: Solver) -> Iterator[State]:
    """The states at `grid[-2]`, ..., `grid[0]` to which the steps of `solver` lead from `grid[-1]`.

    Args:
        model: Any denoiser that leaves the data open nowhere on the grid.
        x: Clean data.
        grid: As for `sample`.
        solver: A deterministic one.
    """
    memory, noise = None, Gaussian()
    for t, s in pairwise(grid.flip(0).unbind()):
        x, memory = solver.step(model, x, t, s, memory, noise)
        yield x


def slerp(a: Tensor, b: Tensor, w: float | Tensor) -> Tensor:
    """Spherical interpolation from `a` (w = 0) to `b` (w = 1), sample by sample.

    Between two draws of noise it stays where noise lives: the norm is interpolated too, so halfway
    between draws is as long as they are, where the straight mean is shorter by sqrt(2).

    Args:
        a: Shape `(B, ...)`.
        b: Shape of `a`.
        w: One weight, or one per sample.

    References:
        Shoemake 1985, "Animating rotation with quaternion curves".
    """
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()
    length_a, length_b = flat_a.norm(dim=1, keepdim=True), flat_b.norm(dim=1, keepdim=True)
    unit_a, unit_b = flat_a / length_a, flat_b / length_b
    # The angle by atan2 of half-chords: accurate for nearly parallel and opposite draws.
    angle = 2 * torch.atan2((unit_a - unit_b).norm(dim=1), (unit_a + unit_b).norm(dim=1))[:, None]
    w = torch.as_tensor(w, dtype=torch.float64, device=a.device).reshape(-1, 1)
    straight = angle.sin() < 1e-9
    sine = torch.where(straight, 1.0, angle.sin())
    share_a = torch.where(straight, 1 - w, ((1 - w) * angle).sin() / sine)
    share_b = torch.where(straight, w, (w * angle).sin() / sine)
    length = length_a ** (1 - w) * length_b**w
    between: Tensor = (length * (share_a * unit_a + share_b * unit_b)).reshape(a.shape).to(a)
    return between
