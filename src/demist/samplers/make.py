"""Solvers and grids by name, for the command line and saved files."""

import torch
from torch import Tensor

from demist.core import Schedule
from demist.errors import UsageError
from demist.parts import Family
from demist.samplers.grids.grid import Grid
from demist.samplers.solver import Solver

SOLVERS = Family("solver", Solver, "samplers.solvers")  # type: ignore[type-abstract]
GRIDS = Family("grid", Grid, "samplers.grids")  # type: ignore[type-abstract]


def make_solver(spec: str) -> Solver:
    """A solver from `name` or `name:option=value,option=value`.

    Raises:
        UsageError: For an unknown name or option, or a value that does not fit.
    """
    return SOLVERS.make(spec)


def make_grid(spec: str, n: int, schedule: Schedule, start: float = 1.0) -> Tensor:
    """The grid `name` or `name:option=value,...`, such as `karras:rho=5`, with `n` steps.

    Args:
        spec: A grid, or the times themselves, such as `1,0.6,0.2,0`; they bring their own number of
            steps.
        n: Number of steps.
        schedule: The model's.
        start: Time of the first level, if `spec` does not give it.

    Raises:
        UsageError: For an unknown name or option, times out of order or numbers out of range.
    """
    if "," in spec.partition(":")[0]:
        return _typed(spec)
    part = GRIDS.read(spec)
    if start != 1 and "start" not in GRIDS.options(part.cls):
        raise UsageError(f"grid {spec!r} has no start; choose another grid, or type the times")
    try:
        return part.make(start=start)(n, schedule)
    except ValueError as error:
        raise UsageError(f"grid {spec!r}: {error}") from None


def _typed(times: str) -> Tensor:
    try:
        typed = torch.tensor([float(word) for word in times.split(",")], dtype=torch.float64)
    except ValueError:
        raise UsageError(f"grid {times!r} is not a list of numbers such as 1,0.6,0.2,0") from None
    if typed[0] > 1 or typed[-1] != 0 or not (typed.diff() < 0).all():
        raise UsageError(f"grid {times!r} must fall from at most 1 to exactly 0")
    return typed
