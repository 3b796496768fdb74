"""The one sampling loop, as a generator: the `for` of the caller is the callback."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from demist.core import Conditioned, Gaussian, Model, Noise, State, solvable_grid
from demist.samplers.grids.grid import too_short
from demist.samplers.solver import Solver
from demist.samplers.solvers.adams import Adams


@dataclass(frozen=True)
class TrajectoryPoint:
    """A point on a trajectory, and all that is needed to go on from it.

    To resume or branch: `trajectory(model, state.x, grid, solver, noise, index=state.index,
    memory=state.memory)`. With `Seeded` noise the continuation is the same as without a stop.

    Attributes:
        index: Number of steps done; the state sits at `grid[index]`.
        t: Its time.
        x: The state itself.
        memory: The solver's memory.
    """

    index: int
    t: Tensor
    x: State
    memory: Any


def trajectory(
    model: Model,
    x: State,
    grid: Tensor,
    solver: Solver | None = None,
    noise: Noise | None = None,
    *,
    constrain: Callable[[State, Tensor], State] | None = None,
    index: int = 0,
    memory: Any = None,
    differentiable: bool = False,
    **cond: Any,
) -> Iterator[TrajectoryPoint]:
    """Yield the state after each step along `grid`.

    Args:
        model: Any denoiser.
        x: State at `grid[index]`. To start from pure noise at t = 1: `sigma(1)` times a draw.
        grid: Times in [0, 1], shape `(n + 1,)`. Where it increases, the state is re-noised with the
            exact forward transition and the solver's memory is dropped. Where a network leaves the
            data open, as one that predicts the noise in pure noise, the step is a little shorter.
        solver: Default `Adams()`.
        noise: Default `Gaussian()`; use `Seeded` for images that do not depend on the batch.
        constrain: Projection `(x, s) -> x` applied after each step.
        index: Number of steps already done, to resume from a `TrajectoryPoint`.
        memory: The solver's memory at that point.
        differentiable: Keep the graph through all steps (memory grows with every step).
        cond: Conditions, handed to the model.

    Yields:
        `TrajectoryPoint` at `grid[index + 1]`, `grid[index + 2]`, ...

    Raises:
        ValueError: If `grid` is not such a sequence.
    """
    solver = Adams() if solver is None else solver
    noise = Gaussian() if noise is None else noise
    grid = checked_grid(grid)
    moved = solvable_grid(model, grid)
    if index == 0 and moved[0] != grid[0]:
        x = (model.schedule(moved[0])[1] / model.schedule(grid[0])[1]) * x
    times = moved.unbind()
    if cond:
        model = Conditioned(model, cond)
    for i, (t, s) in enumerate(pairwise(times[index:]), index):
        here = noise.at(i, t, s)
        with torch.set_grad_enabled(differentiable and torch.is_grad_enabled()):
            if s > t:
                x, memory = renoise(model, x, t, s, here), None
            else:
                x, memory = solver.step(model, x, t, s, memory, here)
            if constrain is not None:
                x = constrain(x, s)
        yield TrajectoryPoint(i + 1, s, x, memory)


def sample(
    model: Model,
    x: State,
    grid: Tensor,
    solver: Solver | None = None,
    noise: Noise | None = None,
    *,
    constrain: Callable[[State, Tensor], State] | None = None,
    **cond: Any,
) -> State:
    """The last state of `trajectory`, which explains the arguments."""
    for state in trajectory(model, x, grid, solver, noise, constrain=constrain, **cond):
        x = state.x
    return x


def renoise(model: Model, x: State, t: Tensor, s: Tensor, noise: Noise) -> State:
    """One draw of the forward process q(x_s | x_t), from `t` up to the noisier `s`."""
    (a_t, g_t), (a_s, g_s) = model.schedule(t), model.schedule(s)
    kept = a_s / a_t
    return kept * x + (g_s**2 - (kept * g_t) ** 2).clamp(min=0).sqrt() * noise(x)


def checked_grid(grid: Tensor) -> Tensor:
    """The times as float64 on the CPU.

    Raises:
        ValueError: They are not two or more times in [0, 1], each unlike the one before.
    """
    grid = torch.as_tensor(grid, dtype=torch.float64).cpu()
    if grid.ndim != 1 or len(grid) < 2:
        raise ValueError(f"a grid is a sequence of at least 2 times, got shape {tuple(grid.shape)}")
    if not (grid >= 0).all() or not (grid <= 1).all():
        raise ValueError(
            f"grid times must lie in [0, 1] (0 is data, 1 is noise), got "
            f"{float(grid.min()):g} to {float(grid.max()):g}"
        )
    if (alike := too_short(grid)).any():
        i = int(alike.nonzero()[0])
        raise ValueError(
            f"a grid must not contain the same time twice in a row, not even nearly: it has "
            f"{float(grid[i])!r}, then {float(grid[i + 1])!r}; leave one of them out"
        )
    return grid
