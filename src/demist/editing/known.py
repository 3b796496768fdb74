"""Kept parts of images, put back after every step at the noise of that step.

So any model fills a hole: what it makes there goes on from a state that is right elsewhere. It sees
the kept part with noise, and what it made a step ago does not know yet what the noise hid; jumps
back let it look again.

A strength of its own for each pixel needs no more: it is kept until the time falls below its
strength, and the model's from then on.

References:
    Song et al. 2021, arXiv:2011.13456, appendix I.2 (replacement); Lugmayr et al. 2022 (RePaint),
    arXiv:2201.09865, algorithm 1 (jumps); Levin & Fried 2023 (differential diffusion),
    arXiv:2306.00950, section 3.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from demist.core import Model, Noise, Schedule, Seeded
from demist.editing.masks import of_states
from demist.errors import UsageError
from demist.model.plan import Init, Plan, Walk
from demist.samplers import Solver, TrajectoryPoint, trajectory

Fill = Literal["original", "noise", "mean"]
"""What lies in a hole at the start: what was there, noise, or the mean colour of the rest."""

ALWAYS = 2.0
"""A time above all others: from it on, a pixel is the model's."""


@dataclass(frozen=True, eq=False)
class Known:
    """The kept parts of the images of a plan.

    Attributes:
        plan: Whose seeds, codec and schedule these are.
        images: What is kept: data, as images in bytes `(n, C, H, W)`; or a tensor of states.
        free: Time from which on down each number of a state is the model's, float64
            `(n, 1, h, w)`; `ALWAYS` where nothing is kept, 0 where all is.
        noisy: Whether what is the model's from the start begins as noise and not as the image.
    """

    plan: Plan
    images: Init
    free: Tensor
    noisy: bool = False

    def walk(self, rows: Sequence[int]) -> Walk:
        """Steps of some rows, after each of which what is kept is put back.

        Its noise is drawn anew for every step, from the sample's own seed.
        """
        pipeline, index = self.plan.pipeline, list(rows)
        own = self.images[index]
        clean = own.to(pipeline.device) if isinstance(own, Tensor) else pipeline.encode(own)
        free = self.free[index].to(clean.device)
        noise = Seeded([self.plan.seed(i) for i in index], field="known")
        schedule = pipeline.denoiser.schedule

        def put_back(x: Tensor, s: Tensor, step: int) -> Tensor:
            alpha, sigma = schedule(s)
            known = alpha * clean + sigma * noise.at(step)(clean) if sigma > 0 else clean
            return torch.where(free > s, x, known)

        def walk(
            model: Model,
            x: Tensor,
            grid: Tensor,
            solver: Solver | None = None,
            draws: Noise | None = None,
            *,
            constrain: Callable[[Tensor, Tensor], Tensor] | None = None,
            index: int = 0,
            memory: Any = None,
            **cond: Any,
        ) -> Iterator[TrajectoryPoint]:
            steps = count(index + 1)
            if index == 0:
                if self.noisy:
                    inside = noise.at(-2)(clean) - clean
                    x = x + schedule(grid[0])[0] * (free == ALWAYS) * inside
                x = put_back(x, grid[0], 0)

            def kept(x: Tensor, s: Tensor) -> Tensor:
                return put_back(x if constrain is None else constrain(x, s), s, next(steps))

            yield from trajectory(
                model, x, grid, solver, draws, constrain=kept, index=index, memory=memory, **cond
            )

        return walk


def with_known(
    plan: Plan,
    images: np.ndarray,
    masks: np.ndarray,
    *,
    strength: float = 1.0,
    fill: Fill = "original",
    jumps: int = 0,
) -> Plan:
    """A plan that makes anew what masks say, and keeps the rest.

    Args:
        plan: Of `n` samples.
        images: What is kept, bytes `(n, C, H, W)` of the model's size.
        masks: `(n, H, W)`; see `demist.editing.masks`.
        strength: Time at which the plan begins; a mask's numbers are shares of it.
        fill: What the holes hold at the start.
        jumps: How often each step is taken again.

    Raises:
        UsageError: `jumps` is negative, or the plan has a refiner, which has no way back.
    """
    if jumps < 0:
        raise UsageError(f"jumps = {jumps}: give 0 or more")
    anew = of_states(masks, plan.pipeline.state_shape).double()
    free = torch.where(anew == 1, ALWAYS, strength * anew)
    known = Known(plan, images, free, fill == "noise" and strength < 1)
    then = plan.then
    if jumps and then is not None:
        raise UsageError("jumps go back and forth in one model; leave the refiner out, or jumps")
    if then is not None:
        then = replace(then, walk=replace(known, noisy=False).walk)
    grid = with_jumps(plan.grid, jumps, plan.pipeline.denoiser.schedule)
    return replace(plan, walk=known.walk, then=then, grid=grid)


def with_jumps(grid: Tensor, jumps: int, schedule: Schedule) -> Tensor:
    """The times of a grid, each step taken `jumps` times more; not the one from pure noise.

    The loop adds noise by the forward process where times rise; see `demist.samplers.trajectory`.
    """
    first = int(len(grid) > 1 and float(schedule(grid[0])[0]) == 0)
    times = [grid[: 1 + first]]
    for i in range(first, len(grid) - 1):
        times += [grid[i + 1 : i + 2], *[grid[i : i + 2]] * jumps]
    return torch.cat(times)
