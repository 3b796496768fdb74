"""Predictor-corrector: a solver, then Langevin steps at the time it reached."""

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.solver import Solver
from demist.samplers.solvers.ddim import DDIM


@dataclass(frozen=True)
class Corrected(Solver):
    """Any solver, followed at the new time s by `n` Langevin steps, which forget its errors.

        x <- alpha x0 + sigma (sqrt(1 - d) eps + sqrt(d) z),      d = delta (1 - e^{-2h})

    with h the step in half the log-SNR: at delta = 1 each correction replaces the share of the
    noise that an ancestral step of this length replaces. Written like this, rather than as
    `x + d sigma^2 / 2 score`, it is exact where x0 is constant, for any d. The bias of a Langevin
    step is of the order of d; because d shrinks with the steps it vanishes, to first order. (A
    fixed d, such as the fixed signal-to-noise ratio r of the paper, d = 4 r^2, leaves a bias that
    no number of steps removes.)

    n evaluations per step besides the solver's own; no correction after the last step. Worth it
    when the model's errors, not the solver's, dominate; else spend the evaluations on steps.

    References:
        Song et al. 2021, "Score-Based Generative Modeling through SDEs", arXiv:2011.13456,
        algorithms 2 to 5.

    Attributes:
        solver: The predictor; on the command line by name, as in `corrected:solver=heun,n=2`.
        n: Langevin steps after each step of it.
        delta: Noise that a Langevin step replaces, in (0, 1].

    Raises:
        ValueError: If `n` or `delta` is out of range.
    """

    name = "corrected"
    order = 1
    stochastic = True
    solver: Solver = field(default=DDIM())
    n: int = 1
    delta: float = 0.5

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 < self.delta <= 1:
            raise ValueError(
                f"correction needs n of at least 1 and delta in (0, 1], got n = {self.n}, "
                f"delta = {self.delta}; for no correction use the solver alone"
            )

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Any]:
        """See `Solver.step`; the memory is the predictor's."""
        x, memory = self.solver.step(model, x, t, s, memory, noise)
        if s == 0:
            return x, memory
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        d = self.delta * (1 - float((alpha_t * sigma_s) / (alpha_s * sigma_t)) ** 2)
        for _ in range(self.n):
            p = model(x, s)
            eps = math.sqrt(1 - d) * p.eps + math.sqrt(d) * noise(x)
            x = p.alpha * p.x0 + p.sigma * eps
        return x, memory

    def evaluations(self, steps: int) -> int:
        """The predictor's, and n more after every step but the last."""
        return self.solver.evaluations(steps) + self.n * (steps - 1)
