"""Edit-friendly inversion: the draws of noise that lead a stochastic solver to given data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from demist.core import (
    Conditioned,
    Gaussian,
    Model,
    Noise,
    Prediction,
    Schedule,
    State,
    solvable_grid,
    standard_normal_log_prob,
)
from demist.samplers import DDIM, Solver, TrajectoryPoint, checked_grid, trajectory

CLOSE = 1e-3
"""How far from where it should lead a step may be, beside the states, to count as rounding."""


@dataclass(frozen=True)
class Replay(Noise):
    """Hands out draws that are kept, those of a step whenever that step asks.

    Attributes:
        maps: `(steps, B, ...)`.
        step: Which is next; `at` sets it.
    """

    maps: Tensor
    step: int = 0

    def __call__(self, like: Tensor) -> Tensor:
        return self.maps[self.step].to(like)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Replay":
        return Replay(self.maps, index)

    def log_prob(self, z: Tensor) -> Tensor:
        return standard_normal_log_prob(z)


@dataclass(frozen=True)
class NoiseMaps:
    """A start and draws from which a solver comes to given data.

    Attributes:
        start: States at `grid[0]`, `(B, ...)`.
        maps: The draw of each step, `(steps, B, ...)`; the last one is of no effect.
        rest: What is missing in the end, `(B, ...)`: the last step draws nothing.
    """

    start: Tensor
    maps: Tensor
    rest: Tensor

    def rows(self, rows: list[int]) -> "NoiseMaps":
        """Those of some samples."""
        return NoiseMaps(self.start[rows], self.maps[:, rows], self.rest[rows])

    def trajectory(
        self,
        model: Model,
        x: Tensor,
        grid: Tensor,
        solver: Solver,
        noise: Noise,
        *,
        constrain: Callable[[State, Tensor], State] | None = None,
        **further: Any,
    ) -> Iterator[TrajectoryPoint]:
        """As `demist.samplers.trajectory`, with these draws and what is missing in the end."""
        drawn, rest = Replay(self.maps.to(x.device)), self.rest.to(x.device)

        def ended(state: State, s: Tensor) -> State:
            state = state + rest if s == 0 else state
            return state if constrain is None else constrain(state, s)

        return trajectory(model, x, grid, solver, drawn, constrain=ended, **further)


@dataclass
class _Once:
    """A model that is asked the same thing again and again, and thinks once."""

    model: Model
    known: tuple[Tensor, Tensor, Prediction] | None = None

    @property
    def schedule(self) -> Schedule:
        return self.model.schedule

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        if self.known is None or self.known[0] is not x or self.known[1] is not t:
            self.known = (x, t, self.model(x, t, **cond))
        return self.known[2]


@torch.no_grad()
def noise_maps(
    model: Model,
    x: Tensor,
    grid: Tensor,
    solver: Solver | None = None,
    noise: Noise | None = None,
    **cond: Any,
) -> NoiseMaps:
    """The draws with which `solver` leads to `x`, whatever the model, its guidance and its clamp.

    Every state on the way is `x` noised afresh, `alpha x + sigma z` with a z of its own, and each
    draw is what is missing from the step's mean to the next of them. So consecutive states differ
    by more than along a true trajectory: the draws are larger than one and hold the image, which a
    new prompt then changes in place. One evaluation per step.

    Exact to rounding: `NoiseMaps.trajectory` with the same model and conditions gives back `x`, as
    tests show for any guidance. The draws are not standard normal: their variance is above one.

    Args:
        model: Any denoiser.
        x: Clean data, at `grid[-1]`, `(B, ...)`.
        grid: A decreasing grid that ends in clean data.
        solver: One whose steps add a draw to a mean: `DDIM(eta=1)` (default), `DDPM()`.
        noise: What the states on the way are noised with.
        cond: Conditions, handed to the model.

    Raises:
        ValueError: The solver draws nothing, or other than that; or the grid is not decreasing.

    References:
        Huberman-Spiegelglas et al. 2023, "An Edit Friendly DDPM Noise Space", arXiv:2304.06140,
        section 3.2 and algorithm 1.
    """
    solver = DDIM(1.0) if solver is None else solver
    noise = Gaussian() if noise is None else noise
    if not solver.stochastic:
        raise ValueError(
            f"{solver.name} draws no noise that could hold the image; use ddim:eta=1, or invert "
            f"with ddim"
        )
    grid = checked_grid(grid)
    if (grid.diff() > 0).any() or grid[-1] != 0:
        raise ValueError("edit-friendly inversion needs a grid that decreases to 0")
    once = _Once(Conditioned(model, cond) if cond else model)
    moved = solvable_grid(model, grid)
    times, memory = moved.unbind(), None
    alpha, sigma = model.schedule(times[0])
    now = alpha * x + sigma * noise.at(-1)(x)
    start = now * (model.schedule(grid[0])[1] / sigma)
    maps, rest = [], torch.zeros_like(x)
    for i, (t, s) in enumerate(pairwise(times)):
        nothing, one = (Replay(torch.full_like(x, value)[None]) for value in (0.0, 1.0))
        mean, further = solver.step(once, now, t, s, memory, nothing)
        if s == 0:
            maps.append(torch.zeros_like(x))
            rest = x - mean
            break
        std = solver.step(once, now, t, s, memory, one)[0] - mean
        alpha, sigma = model.schedule(s)
        wanted = alpha * x + sigma * noise.at(i)(x)
        draw = (wanted - mean) / std
        now = solver.step(once, now, t, s, memory, Replay(draw[None]))[0]
        memory = further
        if not ((now - wanted).abs().amax() <= CLOSE * (1 + wanted.abs().amax())):
            raise ValueError(
                f"the steps of {solver.name} are no mean with one draw added; use ddim:eta=1"
            )
        maps.append(draw)
    return NoiseMaps(start, torch.stack(maps), rest)
