"""Heun's method on the path itself."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class Heun(Solver):
    """The trapezoidal rule for dx = x0 dalpha + eps dsigma, predicted by DDIM.

    The probability-flow ODE, written as a line integral along the path (alpha, sigma). For
    alpha = 1 this is EDM's algorithm 2, for alpha + sigma = 1 it is Heun's method in t; and since
    no time derivative appears it keeps its order where alpha' or sigma' is infinite. The last
    step, onto clean data, is DDIM's, because eps has no limit to average there.

    Two evaluations per step, one in the last. Very robust; with fewer than about 10 evaluations in
    all prefer a multistep solver.

    References:
        Karras et al. 2022, arXiv:2206.00364, algorithm 2.
    """

    name = "heun"
    order = 2

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        guess = combine((alpha, sigma), (p.x0, p.eps))
        if s == 0:
            return guess, None
        q = model(guess, s)
        # (x + guess + (alpha - p.alpha) q.x0 + (sigma - p.sigma) q.eps) / 2, the trapezoidal rule,
        # where guess is also alpha q.x0 + sigma q.eps.
        weights = (0.5, alpha - p.alpha / 2, sigma - p.sigma / 2)
        return combine(weights, (x, q.x0, q.eps)), None

    def evaluations(self, steps: int) -> int:
        """Two per step, one in the last."""
        return 2 * steps - 1
