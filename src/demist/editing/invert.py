"""From data back to noise: the probability-flow ODE run upwards, and walks between the ends."""

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from demist.core import Conditioned, Gaussian, Model, State, left, solvable_grid, unclamped
from demist.samplers import DDIM, Adams, Solver, checked_grid

SETTLED = 1e-5
"""Root mean square, in the unit of the states, by which an undone step may miss."""


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
def undo(
    model: Model,
    x: Tensor,
    grid: Tensor,
    solver: Solver | None = None,
    *,
    settled: float = SETTLED,
    most: int = 30,
    **cond: Any,
) -> Tensor:
    """The noise from which DDIM makes `x`, each of its steps undone for itself.

    A step from t to s ends in `alpha_s x0 + sigma_s eps` with the prediction at x_t, which is asked
    for until x_s comes out, by damped fixed-point iterations. Where clean data is predicted as data
    of any covariance up to 1, each makes what is missing smaller by tanh(h / 2) or more, with h the
    step in half the log-SNR; a clamp of the prediction moves nothing further apart, so that it
    stays. `sample(model, undo(model, x, grid), grid, DDIM())` returns to `x` up to what the flow
    makes of `settled` on the way down (`test_undone_steps_give_clamped_digits_back`).

    About four evaluations a step at 40 steps. Long steps and strong guidance can be undone by no
    such iteration; a warning says in how many samples.

    Args:
        model: Any denoiser.
        x: Clean data, at `grid[-1]`.
        grid: A decreasing grid as for `sample`.
        solver: `DDIM()`, the default; here so that it is told what others cannot have undone.
        settled: Root mean square by which a sample may miss in a step.
        most: Iterations in a step at most.
        cond: Conditions, handed to the model.

    Returns:
        The state at `grid[0]`. No sample depends on the others.

    Raises:
        ValueError: The solver is another one.

    References:
        Pan et al. 2023, "Effective Real Image Editing with Accelerated Iterative Diffusion
        Inversion", arXiv:2309.04907, section 3.2 (without damping).
    """
    if solver is not None and solver != DDIM():
        raise ValueError(f"only steps of ddim are undone one by one, and this is {solver.name}")
    model = Conditioned(model, cond) if cond else model
    grid = checked_grid(grid)
    moved = solvable_grid(model, grid)
    missed = x.new_zeros(len(x))
    for state, missing in undoing(model, x, moved, settled=settled, most=most):
        x, missed = state, torch.maximum(missed, missing)
    lost = int((~(missed <= settled)).sum())  # NaN counts
    if lost:
        warnings.warn(
            f"{lost} of {len(x)} samples will not quite be given back: a step misses by up to "
            f"{float(missed.max()):.1g}; take more steps, less guidance, or the inversion 'direct'",
            stacklevel=2,
        )
    return x * (model.schedule(grid[0])[1] / model.schedule(moved[0])[1])


@torch.no_grad()
def undoing(
    model: Model, x: Tensor, grid: Tensor, *, settled: float = SETTLED, most: int = 30
) -> Iterator[tuple[Tensor, Tensor]]:
    """The states of `undo` at `grid[-2]`, ..., `grid[0]`, and by how much each step misses, `(B,)`.

    Args:
        model: Any denoiser that leaves the data open nowhere on the grid.
        x: Clean data.
        grid: As for `sample`.
        settled: As for `undo`.
        most: As for `undo`.
    """
    ahead = (x, torch.zeros_like(x))
    for s, t in pairwise(grid.flip(0).unbind()):
        x, ahead, missing = _undone(model, x, ahead, t, s, settled, most)
        yield x, missing


def _undone(
    model: Model, x: Tensor, ahead: tuple[Tensor, Tensor], t: Tensor, s: Tensor, settled: float,
    most: int,
) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:  # fmt: skip
    """The state at t whose step leads to `x` at s, its prediction, and by how much it misses."""
    (alpha_t, sigma_t), (alpha, sigma) = model.schedule(t), model.schedule(s)
    if sigma > 0:
        ratio = sigma_t / sigma
        # The step takes `pull` times the move of x0, which is from 0 to `most_moved` times x_t's.
        pull, most_moved = ratio * alpha - alpha_t, alpha_t / (alpha_t**2 + sigma_t**2)
        rate = 2 * ratio / (2 + pull * most_moved)
    else:
        rate = alpha_t
    y = alpha_t * ahead[0] + sigma_t * ahead[1]
    for k in range(most):
        p = model(y, t)
        error = x - (alpha * p.x0 + sigma * p.eps)
        missing = error.flatten(1).square().mean(1).sqrt()
        open_still = ~(missing <= settled)
        if not open_still.any() or k == most - 1:
            break
        y = y + rate * left(open_still.to(x), x) * error
    return y, (p.x0, p.eps), missing


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
