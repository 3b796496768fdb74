"""demist: every deterministic solver, at every order it offers, on every grid."""

import dataclasses
from collections.abc import Iterator

from torch import Tensor

import demist
from demist.core.prediction import Prediction
from demist.errors import UsageError
from demist.samplers import (
    AUTO,
    GRIDS,
    SOLVERS,
    make_grid,
    make_solver,
    sample,
    usual,
)
from field.problem import Problem, Sampler

DEFAULT = (AUTO, "grid of the rule")
VERSION = demist.__version__


class Counted:
    """The exact denoiser as a demist model."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.schedule = problem.schedule

    def __call__(self, x: Tensor, t: Tensor) -> Prediction:
        alpha, sigma = self.schedule(t)
        return Prediction(*self.problem.predict(x, alpha, sigma), alpha, sigma)


def _solvers() -> Iterator[str]:
    """Names with options: the default, and one more for every other value of an integer option."""
    for name in SOLVERS.names():
        solver = make_solver(name)
        if solver.stochastic:
            continue
        yield name
        for option in dataclasses.fields(solver):  # type: ignore[arg-type]
            value = getattr(solver, option.name)
            for other in (
                range(1, 6) if type(value) is int else (False, True) if type(value) is bool else ()
            ):
                try:
                    make_solver(f"{name}:{option.name}={other}")
                except UsageError:
                    continue
                if other != value:
                    yield f"{name}:{option.name}={other}"


def samplers() -> list[Sampler]:
    def entry(solver: str, grid: str) -> Sampler:
        def run(problem: Problem, n: int) -> Tensor:
            # As a pipeline's default, or what the row says.
            way = usual(problem.z.shape[1:]) if solver == AUTO else (solver, grid)
            times = make_grid(way[1], n, problem.schedule)
            x = problem.schedule(times[0])[1] * problem.z
            return sample(Counted(problem), x, times, make_solver(way[0]))

        home = solver != AUTO and make_solver(solver).grid == grid and ":" not in solver
        mark = "library" if (solver, grid) == DEFAULT else "class" if home else ""
        return Sampler("demist", solver, grid, run, mark)

    grids = {*GRIDS.names(), *(make_solver(name).grid for name in SOLVERS.names())}
    every = [entry(solver, grid) for solver in _solvers() for grid in sorted(grids)]
    return [entry(*DEFAULT), *every]
