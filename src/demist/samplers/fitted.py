"""A solver whose weights belong to one model and one number of steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.numerics.lagrange import integral_weights
from demist.samplers.solver import Solver

MEMORY = 4
"""Velocities that a step is made of, the newest among them."""


@dataclass(frozen=True)
class Fitted(Solver):
    """Steps whose times and weights were fitted to a model; `demist.samplers.fit` finds them.

    In flow time, tau = sigma / (alpha + sigma) and z = x / (alpha + sigma), step i is

        z_(i+1) = z_i + sum_j w_ij v_(i-j),     v = eps - x0,     sum_j w_ij = tau_(i+1) - tau_i,

    a linear multistep method whose weights differ from step to step and come from no polynomial:
    they are those with which the steps of this model come nearest to its exact flow. The sum makes
    data that is a single point exact, as for DDIM. Where a step begins or ends elsewhere than those
    that were fitted, or has too little to remember, it is Adams and Bashforth's through the last
    three values at most.

    One evaluation per step, for any length of the state that the loop hands on.

    References:
        Shaul et al. 2024, "Bespoke Non-Stationary Solvers for Fast Sampling of Diffusion and Flow
        Models", arXiv:2403.01329.

    Attributes:
        times: From 1 down to 0.
        weights: Of each step, for the velocities from the newest to the oldest.
    """

    name = "fitted"
    order: ClassVar[int] = 1
    times: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        times, rows = self.times, self.weights
        falls = all(a > b for a, b in pairwise(times))
        if len(times) < 2 or not falls or times[0] > 1 or times[-1] != 0:
            raise ValueError("fitted times fall from at most 1 to 0")
        if len(rows) != len(times) - 1:
            raise ValueError(f"{len(times) - 1} steps need as many rows of weights")
        if not all(1 <= len(row) <= min(i + 1, MEMORY) for i, row in enumerate(rows)):
            raise ValueError(f"step i has weights for 1 to min(i, {MEMORY}) velocities")
        if not all(math.isfinite(w) for row in rows for w in row):
            raise ValueError("weights are finite numbers")

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Any]:
        """See `Solver.step`; memory: the last flow times and velocities, newest first."""
        p = model(x, t)
        alpha, sigma = model.schedule(s)
        scale, next_scale = p.alpha + p.sigma, alpha + sigma
        tau, end = float(p.sigma / scale), float(sigma / next_scale)
        past: tuple[tuple[float, State], ...] = ((tau, p.eps - p.x0), *(memory or ()))
        weights = self._weights(float(t), float(s), [node for node, _ in past], end)
        scales = (next_scale / scale, *(w * next_scale for w in weights))
        velocities = [v for _, v in past[: len(weights)]]
        return combine(scales, (x, *velocities)), past[: MEMORY - 1]

    def _weights(self, t: float, s: float, nodes: Sequence[float], end: float) -> Sequence[float]:
        """Of the velocities at the flow times `nodes`, from the newest of which to go to `end`."""
        i = min(range(len(self.weights)), key=lambda k: abs(self.times[k] - t))
        near = (self.times[i] - self.times[i + 1]) / 100
        fits = abs(self.times[i] - t) < near and abs(self.times[i + 1] - s) < near
        row = self.weights[i]
        if not fits or len(nodes) < len(row):
            known = nodes[: min(3, len(nodes))]
            return integral_weights(known, nodes[0], end)
        # A first step that is a little shorter, for a network that leaves the data open in pure
        # noise, has weights that are as much smaller.
        share = (end - nodes[0]) / sum(row)
        return [share * w for w in row]
