"""Classifier-free guidance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Prediction, State
from demist.guidance.rule import Null, Rule, Scale, both_ends, is_number, scale_at


@dataclass(frozen=True)
class CFG(Rule):
    """Classifier-free guidance: away from the unconditional prediction, `scale` times.

    A scale of 1 means no guidance (and skips the unconditional call), 0 ignores the condition.
    Papers that write (1 + w) eps_cond - w eps_uncond have w = scale - 1. A negative prompt is the
    null that says it: `CFG(model, 4.0, Instead(negative))`.

    References:
        Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598, eq. 6.

    Attributes:
        scale: Guidance scale, a number or a function of the time.
        null: Maps the conditions to those of the model to lead away from.
    """

    scale: Scale = field(metadata={"note": "else --guidance"})
    null: Null
    name: ClassVar[str] = "cfg"
    neutral: ClassVar[Mapping[str, Any]] = {"scale": 1.0}

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        w = scale_at(self.scale, t, x)
        if is_number(w, 1) or not cond:
            return self.model(x, t, **cond)
        without, with_ = both_ends(self.model, self.null, x, t, cond)
        return without.lerp(with_, w)
