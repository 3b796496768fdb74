"""Heun's method in sigma / alpha, as published."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class Trapezoid(Solver):
    """The mean of the noise at both ends of a step, taken in sigma / alpha.

        x_s / alpha_s = x / alpha_t + (rho_s - rho_t) (eps_t + eps_s) / 2,     rho = sigma / alpha

    `Heun` takes the mean along the model's own path, which is the same where alpha = 1. Two
    evaluations per step, one in the last.

    References:
        Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn.
    """

    name = "published"
    order = 2

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        guess = alpha * p.x0 + sigma * p.eps
        if s == 0:
            return guess, None
        q = model(guess, s)
        ratio = alpha / p.alpha
        return guess + ((sigma - p.sigma * ratio) / 2) * (q.eps - p.eps), None

    def evaluations(self, steps: int) -> int:
        """Two per step, one in the last."""
        return 2 * steps - 1
