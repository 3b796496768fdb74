"""Predicted data kept in its range."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Prediction, State
from demist.guidance.rule import Rule
from demist.guidance.statistics import magnitude


@dataclass(frozen=True)
class Clamp(Rule):
    """The predicted data, clamped element by element (static thresholding).

    References:
        Saharia et al. 2022, "Photorealistic Text-to-Image Diffusion Models" (Imagen),
        arXiv:2205.11487, section 2.3.

    Attributes:
        low: Smallest value of clean data; pixels: -1.
        high: Largest value; pixels: 1.
    """

    low: float = -1.0
    high: float = 1.0
    name: ClassVar[str] = "clamp"
    neutral: ClassVar[Mapping[str, Any]] = {"low": -inf, "high": inf}
    linear: ClassVar[bool] = False

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        p = self.model(x, t, **cond)
        return p.with_x0(p.x0.clamp(self.low, self.high))


@dataclass(frozen=True)
class Threshold(Rule):
    """The predicted data, clamped at a quantile of its own magnitude and scaled into range.

    Dynamic thresholding: where the prediction leaves the range, it is pulled in as a whole instead
    of being cut off at the same wall. For pixels; for anything without a hard range it does harm.

    References:
        Saharia et al. 2022, as above.

    Attributes:
        quantile: Of |x0| over each sample.
        bound: Largest magnitude of clean data; a prediction within it is only cut above the
            bound.
    """

    quantile: float = 0.995
    bound: float = 1.0
    name: ClassVar[str] = "threshold"
    neutral: ClassVar[Mapping[str, Any]] = {"bound": 1e30}
    linear: ClassVar[bool] = False

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        p = self.model(x, t, **cond)
        wall = magnitude(p.x0, self.quantile).clamp(min=self.bound)
        return p.with_x0((p.x0 / wall).clamp(-1, 1) * self.bound if self.bound < 1e30 else p.x0)
