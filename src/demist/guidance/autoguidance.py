"""Guidance by a weaker version of the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Prediction, State
from demist.guidance.rule import Rule, Scale, is_number, scale_at


@dataclass(frozen=True)
class Autoguidance(Rule):
    """Away from a weaker model with the same conditions, `scale` times.

    The weak model makes the same mistakes, only larger: the difference points away from them,
    without pushing towards the typical as `CFG` does. Needs no null, so it serves unconditional
    models too. A smaller network, or the same one early in its training, is weak in the right way.

    References:
        Karras et al. 2024, "Guiding a Diffusion Model with a Bad Version of Itself",
        arXiv:2406.02507, eq. 3.

    Attributes:
        weak: The weaker model, on the same schedule.
        scale: 1 is the model itself, and spares the weak one's evaluation.
    """

    weak: Model = field(
        metadata={"needs": "a weaker model: --weak RUN of demist sample, or weak= in Python"}
    )
    scale: Scale = field(metadata={"note": "else --guidance"})
    name: ClassVar[str] = "autoguidance"
    neutral: ClassVar[Mapping[str, Any]] = {"scale": 1.0}

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        good, w = self.model(x, t, **cond), scale_at(self.scale, t, x)
        return good if is_number(w, 1) else self.weak(x, t, **cond).lerp(good, w)
