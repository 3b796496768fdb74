"""Samplers that jump to the data and noise it again, as published."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.solver import Solver

DATA_STD = 0.5
"""Standard deviation of the data, in the scalings of the boundary."""


@dataclass(frozen=True)
class Consistency(Solver):
    """Predict the data, and noise it anew to the next level.

        x_s = alpha_s (c_out x0 + c_skip x) + sigma_s z

    The scalings tend to 0 and 1 in clean data, so that there the state is its own prediction:
    c_skip = d^2 / (u^2 + d^2), c_out = u / sqrt(u^2 + d^2), with u the index of the time times
    `scaling`.

    References:
        Luo et al. 2023, "Latent Consistency Models", arXiv:2310.04378, section 4.

    Attributes:
        scaling: Of the index; 0: c_out = 1 and c_skip = 0.
        steps: Steps of the model.
    """

    name = "published"
    order = 1
    stochastic = True
    scaling: float = 0.0
    steps: int = 1000

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        found = model(x, t).x0
        if self.scaling:
            u = round(float(t) * self.steps - 1) * self.scaling
            total = u**2 + DATA_STD**2
            found = (u / total**0.5) * found + (DATA_STD**2 / total) * x
        if s == 0:
            return found, None
        alpha, sigma = model.schedule(s)
        return alpha * found + sigma * noise(x), None
