"""Direct inversion: what each step misses of the way up is added on the way down."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Conditioned, Model, Noise, State, solvable_grid
from demist.editing.invert import upwards
from demist.editing.null_text import unguided
from demist.samplers import Solver, TrajectoryPoint, trajectory


@dataclass(frozen=True)
class Missing:
    """A start, and what is added after each step so that it leads to given data.

    Attributes:
        start: States at `grid[0]`, `(B, ...)`.
        missing: For each step, `(steps, B, ...)`.
    """

    start: Tensor
    missing: Tensor

    def rows(self, rows: list[int]) -> "Missing":
        """Those of some samples."""
        return Missing(self.start[rows], self.missing[:, rows])

    def trajectory(
        self,
        model: Model,
        x: Tensor,
        grid: Tensor,
        solver: Solver,
        noise: Noise,
        *,
        constrain: Callable[[State, Tensor], State] | None = None,
        index: int = 0,
        memory: Any = None,
        **cond: Any,
    ) -> Iterator[TrajectoryPoint]:
        """As `demist.samplers.trajectory`, with what is missing."""
        steps = iter(self.missing[index:].to(x.device))

        def added(state: Tensor, s: Tensor) -> State:
            state = state + next(steps)
            return state if constrain is None else constrain(state, s)

        return trajectory(
            model, x, grid, solver, noise, constrain=added, index=index, memory=memory, **cond
        )


@dataclass(frozen=True)
class OfSource:
    """The walk of an inverted plan that nobody else may follow."""

    kept: Missing

    def __call__(self, rows: Sequence[int]) -> Any:
        """See `Plan.walk`."""
        return self.kept.rows(list(rows)).trajectory


@torch.no_grad()
def missing_steps(model: Model, x: Tensor, grid: Tensor, solver: Solver, **cond: Any) -> Missing:
    """The way up by the ODE without guidance, and what `model` misses of each step of it.

    Exact to rounding, with any guidance and clamp, for any deterministic solver. It says nothing of
    the noise: where an inversion at the solver's order is far off, so is what another prompt makes
    from this start. Two evaluations per step.

    Args:
        model: Any denoiser.
        x: Clean data, `(B, ...)`.
        grid: A decreasing grid.
        solver: A deterministic one that can leave clean data.
        cond: Conditions, handed to the model.

    Raises:
        ValueError: The solver is stochastic, or cannot leave clean data.

    References:
        Ju et al. 2023, "Direct Inversion: Boosting Diffusion-based Editing with 3 Lines of Code",
        arXiv:2310.01506, algorithm 1.
    """
    if solver.stochastic:
        raise ValueError(f"{solver.name} draws noise; direct inversion needs adams, ddim or heun")
    moved = solvable_grid(model, grid)
    way = [x, *upwards(Conditioned(unguided(model), cond), x, moved, solver)][::-1]
    if not way[0].isfinite().all():
        raise ValueError(f"{solver.name} cannot leave clean data; invert with adams, ddim or heun")
    start = way[0] * (model.schedule(grid[0])[1] / model.schedule(moved[0])[1])
    missing: list[Tensor] = []

    def led(state: Tensor, s: Tensor) -> Tensor:
        missing.append(way[len(missing) + 1] - state)
        return state + missing[-1]

    for _ in trajectory(model, start, grid, solver, constrain=led, **cond):
        pass
    return Missing(start, torch.stack(missing))
