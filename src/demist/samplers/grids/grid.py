"""Time grids: decreasing float64 tensors that end in 0. A list you typed is as good as any here.

A grid of n + 1 times makes n steps. Grids differ only in where they place the noise levels; none of
them rounds a time. Image-to-image starts a grid at a strength below 1, and a list of times that
goes *up* re-noises on the way (time travel, restart sampling).

To add a grid, write one file here with one frozen dataclass below `Grid`.
"""

import abc
import math
from typing import ClassVar

import torch
from torch import Tensor

from demist.core import Schedule


class Grid(abc.ABC):
    """Where the steps are; subclasses are frozen dataclasses of their options."""

    name: ClassVar[str]
    """The name on the command line."""

    @abc.abstractmethod
    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        """The times of `n` steps: shape `(n + 1,)`, or less where levels are out of reach.

        Raises:
            ValueError: If `n` is below 1, or more than a discrete model has.
        """


CLOSE = 1e-6
"""A share of a time within which another time is taken for the same, where grids are joined."""


def discrete(index: Tensor, steps: int) -> Tensor:
    """0-based steps to times, ended by clean data; steps that repeat are taken once."""
    index = torch.unique_consecutive(index)
    return torch.cat([(index + 1) / steps, torch.zeros(1, dtype=torch.float64)])


def at_angles(fraction: Tensor, schedule: Schedule, start: float) -> Tensor:
    """Times at the given fractions (1 to 0) of the schedule's angle at `start`."""
    top = schedule.angle(torch.tensor(start, dtype=torch.float64))
    return between(schedule.time_at_angle(top * fraction), start)


def ended(times: Tensor, start: float) -> Tensor:
    """The times, then one step to clean data."""
    return between(torch.cat([times, times.new_zeros(1)]), start)


def between(grid: Tensor, start: float) -> Tensor:
    """Levels out of reach become `start`, the last time is exactly 0, and no time repeats."""
    reach = grid >= start * (1 - 1e-12)
    grid = torch.where(reach, start, grid)
    grid[-1] = 0.0
    keep = torch.ones_like(grid, dtype=torch.bool)
    keep[1:] = (grid.diff() < 0) & ~too_short(grid)
    return grid[keep]


def too_short(grid: Tensor) -> Tensor:
    """Which of the n steps of a grid, `(n,)`, join times that differ by no more than rounding."""
    return grid.diff().abs() <= 1e-9 * torch.maximum(grid[:-1], grid[1:])


def count(n: int, steps: float = math.inf) -> int:
    """`n`, if so many steps can be taken of a model that has `steps` of them."""
    if not 1 <= n <= steps:
        limit = "" if steps == math.inf else f" and at most the model's {steps} steps"
        raise ValueError(f"the number of steps must be at least 1{limit}, got {n}")
    return n
