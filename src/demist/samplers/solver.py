"""A solver is a pure step over an interval.

It asks a model for predictions and moves the state from time `t` to time `s`. Both ends are given,
so no step guesses where it goes; what it remembers is a value that the loop hands back, so a
trajectory can be stopped, saved, rewound and branched. A solver adds states, scales them and asks
for noise; it knows neither what the network predicts nor how it sees the time.

To add a solver, write one file with one subclass: the command line finds it by its `name`, and the
contract tests find it and measure its order.
"""

import abc
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Noise, State


class Solver(abc.ABC):
    """One way to go from `t` to `s`; subclasses are frozen dataclasses of their options."""

    name: ClassVar[str]
    """The name on the command line."""

    order: ClassVar[int]
    """Convergence order: of the state where deterministic, of its distribution where not."""

    grid: ClassVar[str] = "smooth"
    """The grid, by name, on which it is at its best from pure noise to clean data."""

    stochastic: bool = False
    """Whether steps draw noise."""

    @abc.abstractmethod
    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Any]:
        """Move `x` from time `t` to the cleaner time `s`.

        Args:
            model: Any denoiser.
            x: State at time `t`.
            t: Current time, 0-dimensional float64.
            s: Time to go to, `0 <= s < t`; at `s = 0` the data is reached and sigma is exactly 0.
            memory: What the previous step returned; None in the first step and after re-noising.
            noise: Source of randomness for this step.

        Returns:
            The state at time `s`, and the memory for the next step.
        """

    def evaluations(self, steps: int) -> int:
        """How often `steps` steps, ending at t = 0, call the model."""
        return steps
