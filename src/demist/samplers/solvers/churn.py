"""Karras churn: a little back up before every step down."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.solver import Solver
from demist.samplers.solvers.ddim import ancestral_variances
from demist.samplers.solvers.heun import Heun


@dataclass(frozen=True)
class Churn(Solver):
    """EDM's stochastic sampler: re-noise from r = sigma / alpha to (1 + gamma) r, then Heun to s.

        gamma_t = min(churn (r_t / r_s - 1), gamma)      if s_min <= r_t <= s_max, else 0

    The climb is exact (a forward transition) and shrinks with the step, so the weak order is that
    of Heun. EDM's algorithm climbs by the same factor in every step: `churn=inf` with
    gamma = min(S_churn / N, sqrt(2) - 1) for N steps is exactly that. No step climbs above t = 1.

    Two evaluations per step, one in the last; the model is asked at times above `t`. For models
    whose errors accumulate along an ODE: more steps, better detail (EDM's ImageNet-64 setting is
    N = 256, S_churn = 40, s_min = 0.05, s_max = 50, s_noise = 1.003).

    References:
        Karras et al. 2022, arXiv:2206.00364, algorithm 2 and table 5.

    Attributes:
        churn: How far to climb, relative to the step in r.
        gamma: The most a step climbs, relative to r itself.
        s_min: No climb below this noise level r.
        s_max: No climb above this one.
        s_noise: Factor on the noise of the climb. Slightly above 1 makes up for models that remove
            too much; with an exact model any value but 1 is a bias that no number of steps removes.

    Raises:
        ValueError: If a number is negative.
    """

    name = "churn"
    order = 2
    stochastic = True
    churn: float = 0.5
    gamma: float = math.sqrt(2) - 1
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, got {value}")

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        at_t, (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        r, r_s = float(at_t[1] / at_t[0]), float(sigma_s / alpha_s)
        if self.s_min <= r <= self.s_max and r < math.inf and self.churn > 0:
            step = r / r_s - 1 if r_s > 0 else math.inf
            gamma = min(self.churn * step, self.gamma)
            up = model.schedule.time_at(-2 * (t.new_tensor(r) * (1 + gamma)).log())
            if up > t:
                at_up = model.schedule(up)
                _, added = ancestral_variances(at_up, at_t)
                x = (at_up[0] / at_t[0]) * x + (self.s_noise * added.sqrt()) * noise(x)
                t = up
        return Heun().step(model, x, t, s, None, noise)

    def evaluations(self, steps: int) -> int:
        """Those of Heun."""
        return Heun().evaluations(steps)
