"""How published samplers keep predicted data in its range."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Prediction, Schedule, State


@dataclass(frozen=True)
class Range:
    """Predicted data kept in [-limit, limit], or cut at a quantile of its own and scaled to 1.

    References:
        Saharia et al. 2022, arXiv:2205.11487, section 2.3 (the quantile: dynamic thresholding).

    Attributes:
        limit: Largest magnitude; with a quantile, of the place of the cut.
        quantile: Of |x0| over each sample, at which it is cut if that lies between 1 and `limit`;
            None: at `limit`, and nothing is scaled.
    """

    limit: float = math.inf
    quantile: float | None = None

    def __call__(self, x0: State) -> State:
        """The data within the range."""
        if self.quantile is None:
            return x0 if self.limit == math.inf else x0.clamp(-self.limit, self.limit)
        wall = x0.flatten(1).abs().float().quantile(self.quantile, dim=1)
        wall = wall.clamp(1, max(1.0, self.limit)).to(x0).reshape(-1, *(1,) * (x0.ndim - 1))
        return x0.clamp(-wall, wall) / wall


UNBOUNDED = Range()
"""Data that may be anything."""


@dataclass(frozen=True)
class Kept:
    """A denoiser whose predicted data is kept in a range, after all guidance.

    Attributes:
        model: The denoiser.
        range: Of the data.
    """

    model: Model
    range: Range

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        p = self.model(x, t, **cond)
        kept = self.range(p.x0)
        return p if kept is p.x0 else p.with_x0(kept)
