"""Adaptive projected guidance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Prediction, State
from demist.guidance.rule import Null, Rule, Scale, both_ends, is_number, scale_at
from demist.guidance.statistics import along, norm


@dataclass(frozen=True)
class APG(Rule):
    """CFG whose direction keeps little of what is parallel to the predicted data.

    That part raises contrast and saturation; the orthogonal rest changes the content. The direction
    may also be limited in length. The paper's momentum is left out: it would give a denoiser a
    memory of earlier calls.

    References:
        Sadat et al. 2024, "Eliminating Oversaturation and Artifacts of High Guidance Scales in
        Diffusion Models", arXiv:2410.02416, eqs. 4 to 9.

    Attributes:
        scale: Guidance scale.
        null: As in `CFG`.
        parallel: Their eta: how much of the parallel part is kept; 1 is CFG.
        radius: Longest direction, as root mean square over the elements of a sample; 0: no limit.
    """

    scale: Scale = field(metadata={"note": "else --guidance"})
    null: Null
    parallel: float = 0.0
    radius: float = 0.0
    name: ClassVar[str] = "apg"
    neutral: ClassVar[Mapping[str, Any]] = {"scale": 1.0}
    linear: ClassVar[bool] = False

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        w = scale_at(self.scale, t, x)
        if is_number(w, 1) or not cond:
            return self.model(x, t, **cond)
        without, with_ = both_ends(self.model, self.null, x, t, cond)
        direction = with_.x0 - without.x0
        if self.radius:
            longest = self.radius * (direction[0].numel() ** 0.5)
            direction = direction * (longest / norm(direction).clamp(min=longest))
        parallel = along(direction, with_.x0)
        direction = direction + (self.parallel - 1) * parallel
        return with_.with_x0(with_.x0 + (w - 1) * direction)
