"""Methods that are a step and no denoiser: they move the state in their own way.

Their step takes the place of the solver's in the one loop, `demist.samplers.trajectory`, so that
grids, seeds, conditions and resuming mean what they mean everywhere.
"""

import abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Noise, State
from demist.errors import UsageError
from demist.inverse.measurement import Measurement
from demist.inverse.method import Loop, Method
from demist.samplers import Adams, Solver, TrajectoryPoint, checked_grid


@dataclass(frozen=True)
class Moves(Solver):
    """A step as a solver.

    Attributes:
        move: `(model, x, t, s, memory, noise) -> (x at s, memory)`, as `Solver.step`.
    """

    move: Callable[[Model, State, Tensor, Tensor, Any, Noise], tuple[State, Any]]
    name = "moves"
    order = 1
    stochastic = True

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Any]:
        """See `Solver.step`."""
        return self.move(model, x, t, s, memory, noise)


@dataclass(frozen=True)
class Within(Noise):
    """The noise of one step, for a whole trajectory inside that step: its draws follow each other.

    Attributes:
        base: The noise of the step.
    """

    base: Noise

    def __call__(self, like: State) -> State:
        return self.base(like)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Within":
        return self

    def log_prob(self, z: State) -> Tensor:
        return self.base.log_prob(z)


class Stepped(Method):
    """A method with a step."""

    downhill: ClassVar[bool] = False
    """Whether the grid must fall, because what the method remembers does not outlive new noise."""

    @abc.abstractmethod
    def step(
        self,
        measurement: Measurement,
        solver: Solver,
        model: Model,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        memory: Any,
        noise: Noise,
    ) -> tuple[Tensor, Any]:
        """Move `x` from time `t` to the cleaner time `s`.

        Args:
            measurement: One for each sample.
            solver: The caller's, for methods that use it.
            model: The prior.
            x: States at `t`, `(B, *shape)`.
            t: As for `Solver.step`.
            s: Likewise.
            memory: What the step before gave; None in the first and after re-noising.
            noise: Of this step.
        """

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`."""
        own = self.ready(measurement, loop.x, loop.grid)
        inner = Adams() if loop.solver is None else loop.solver

        def move(
            model: Model, x: Tensor, t: Tensor, s: Tensor, memory: Any, noise: Noise
        ) -> tuple[Tensor, Any]:
            return self.step(own, inner, model, x, t, s, memory, noise)

        return replace(loop, solver=Moves(move)).points()

    def ready(self, measurement: Measurement, x: Tensor, grid: Tensor) -> Measurement:
        """The measurement, one for each sample.

        Raises:
            UsageError: The method does not go with the grid.
        """
        if self.downhill and not (checked_grid(grid).diff() < 0).all():
            raise UsageError(
                f"method {self.name} needs a grid that only falls; leave the jumps out, or take "
                f"repaint"
            )
        return replace(measurement, y=measurement.y.expand(len(x), *measurement.y.shape[1:]))
