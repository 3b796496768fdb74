"""A method: how to draw from the posterior of data given a measurement, with a denoiser as prior.

To add a method, write one file in `demist/inverse/methods/` with one subclass, a frozen dataclass
of its options: the command line finds it by its `name`. Its docstring says when it is exact, what
it costs in evaluations and gradients, and what it over- or underestimates.
"""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Noise, State
from demist.errors import UsageError
from demist.inverse.measurement import GaussianNoise, Measurement
from demist.inverse.operator import LinearOperator
from demist.samplers import Solver, TrajectoryPoint, trajectory

Walk = Callable[..., Iterator[TrajectoryPoint]]
"""A function with the arguments of `demist.samplers.trajectory`."""


@dataclass(frozen=True)
class Loop:
    """What `demist.samplers.trajectory` is asked for, with its arguments' names and defaults."""

    model: Model
    x: State
    grid: Tensor
    solver: Solver | None = None
    noise: Noise | None = None
    constrain: Callable[[State, Tensor], State] | None = None
    index: int = 0
    memory: Any = None
    cond: Mapping[str, Any] = field(default_factory=dict)

    def points(self) -> Iterator[TrajectoryPoint]:
        """Its points."""
        return trajectory(
            self.model, self.x, self.grid, self.solver, self.noise,
            constrain=self.constrain, index=self.index, memory=self.memory, **self.cond,
        )  # fmt: skip


class Method(abc.ABC):
    """One way to sample a posterior; subclasses are frozen dataclasses of their options."""

    name: ClassVar[str] = ""
    """The name on the command line."""

    linear: ClassVar[bool] = True
    """Whether it is for linear operators only."""

    spectral: ClassVar[bool] = False
    """Whether it needs the operator's singular values."""

    gaussian: ClassVar[bool] = True
    """Whether it is for Gaussian noise only."""

    noisy: ClassVar[bool] = False
    """Whether it divides by the noise, so that there must be some."""

    solver: ClassVar[str | None] = None
    """The solver at its best, where nobody says one; None: the model's own."""

    def require(self, measurement: Measurement) -> None:
        """Check that the method goes with this measurement.

        Raises:
            UsageError: It does not.
        """
        operator, noise = measurement.operator, measurement.noise
        kind = operator.name or type(operator).__name__
        wrong = ""
        if self.linear and not isinstance(operator, LinearOperator):
            wrong = f"is for linear operators, and {kind} is not linear; take dps or lgd"
        elif self.spectral and (not isinstance(operator, LinearOperator) or not operator.spectrum):
            wrong = (
                f"needs the singular values of the operator, and those of {kind} are not known; "
                f"take pigdm or mmps"
            )
        elif self.gaussian and not isinstance(noise, GaussianNoise):
            wrong = f"is for Gaussian noise, and this is {type(noise).__name__}; take dps or lgd"
        elif self.noisy and isinstance(noise, GaussianNoise) and not noise.std:
            wrong = "divides by the noise, which is 0; give some noise, or take another method"
        if wrong:
            raise UsageError(f"method {self.name or type(self).__name__} {wrong}")

    def trajectory(
        self,
        model: Model,
        measurement: Measurement,
        x: State,
        grid: Tensor,
        solver: Solver | None = None,
        noise: Noise | None = None,
        *,
        constrain: Callable[[State, Tensor], State] | None = None,
        index: int = 0,
        memory: Any = None,
        **cond: Any,
    ) -> Iterator[TrajectoryPoint]:
        """Yield the state after each step along `grid`, the last one a draw from the posterior.

        Args:
            model: The prior.
            measurement: Of every sample in `x`, in its order.
            x: State at `grid[index]`.
            grid: As for `demist.samplers.trajectory`.
            solver: Takes the steps; methods with steps of their own say so, and leave it aside.
            noise: Randomness; `Seeded` for samples that do not depend on their batch.
            constrain: Projection `(x, s) -> x` applied after each step.
            index: Number of steps already done.
            memory: What the last point had.
            cond: Conditions, handed to the model.

        Raises:
            UsageError: The method does not go with the measurement.
        """
        self.require(measurement)
        loop = Loop(model, x, grid, solver, noise, constrain, index, memory, cond)
        return self.points(measurement.to(x), loop)

    @abc.abstractmethod
    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """The points of `trajectory`.

        Args:
            measurement: That of every sample, in the numbers of the state; the method goes with it.
            loop: What was asked of the one loop; a method changes parts of it.
        """


class Guided(Method):
    """A method that is a denoiser made of a denoiser: every solver and rule of guidance goes.

    What a precise measurement adds changes fast with the state, so that solvers of high order
    overshoot; one of first order that draws new noise forgets what a step got wrong.
    """

    solver: ClassVar[str | None] = "ddim:eta=1"

    @abc.abstractmethod
    def wrap(self, model: Model, measurement: Measurement) -> Model:
        """The denoiser of the posterior: it predicts E[x0 | x_t, y]."""

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`."""
        return replace(loop, model=self.wrap(loop.model, measurement)).points()


def walk(method: Method, measurement: Measurement) -> Callable[[Sequence[int]], Walk]:
    """What `Plan.walk` takes, so that a plan samples the posterior: `replace(plan, walk=...)`.

    Args:
        method: How.
        measurement: Of each sample of the plan, or one for all.

    Raises:
        UsageError: The method does not go with the measurement.
    """
    method.require(measurement)

    def of(rows: Sequence[int]) -> Walk:
        here = measurement.take(rows)

        def walked(
            model: Model, x: State, grid: Tensor, solver: Solver, noise: Noise, **given: Any
        ) -> Iterator[TrajectoryPoint]:
            return method.trajectory(model, here.to(x), x, grid, solver, noise, **given)

        return walked

    return of
