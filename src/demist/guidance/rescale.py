"""Classifier-free guidance without the extra contrast."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Prediction, State
from demist.guidance.rule import Null, Rule, Scale, both_ends, is_number, scale_at
from demist.guidance.statistics import std


@dataclass(frozen=True)
class Rescale(Rule):
    """CFG whose predicted data is scaled back towards the contrast of the conditional prediction.

    The paper scales the network's output; here the predicted x0 is scaled, whatever the network
    predicts, so that the result does not depend on the parameterization.

    References:
        Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed",
        arXiv:2305.08891, eqs. 14 to 16.

    Attributes:
        scale: Guidance scale.
        null: As in `CFG`.
        share: Their phi: 0 is CFG, 1 restores the contrast fully; they use 0.7.
    """

    scale: Scale = field(metadata={"note": "else --guidance"})
    null: Null
    share: float = 0.7
    name: ClassVar[str] = "rescale"
    neutral: ClassVar[Mapping[str, Any]] = {"scale": 1.0}
    linear: ClassVar[bool] = False

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        w = scale_at(self.scale, t, x)
        if is_number(w, 1) or not cond:
            return self.model(x, t, **cond)
        without, with_ = both_ends(self.model, self.null, x, t, cond)
        guided = without.lerp(with_, w)
        gain = std(with_.x0) / std(guided.x0).clamp(min=1e-12)
        return guided.with_x0(guided.x0 * (1 + self.share * (gain - 1)))
