"""Guidance for two conditionings, each with a scale of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Prediction, State, many
from demist.guidance.rule import Cond, Null, Rule, Scale, is_number, scale_at


@dataclass(frozen=True)
class Dual(Rule):
    """Towards one condition, then from there to all of them: an image, then what is to change.

    `D(none) + first_scale (D(first) - D(none)) + scale (D(all) - D(first))`. Where both scales are
    equal this is `CFG`. More `first_scale` keeps the result closer to the image, more `scale`
    follows the prompt.

    References:
        Brooks, Holynski & Efros 2023, "InstructPix2Pix: Learning to Follow Image Editing
        Instructions", arXiv:2211.09800, eq. 3.

    Attributes:
        scale: From the first condition to all.
        null: Maps the conditions to those that guidance starts from.
        first: Name of the condition that comes first.
        first_scale: From none to the first condition.
    """

    scale: Scale = field(metadata={"note": "else --guidance"})
    null: Null
    first: str = "image"
    first_scale: float = 1.5
    name: ClassVar[str] = "dual"
    neutral: ClassVar[Mapping[str, Any]] = {"scale": 1.0, "first_scale": 1.0}

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        w, v = scale_at(self.scale, t, x), self.first_scale
        if not cond or (is_number(w, 1) and v == 1):
            return self.model(x, t, **cond)
        none = self.null(cond)
        first = {
            key: cond[key] if key.partition(".")[0] == self.first else value
            for key, value in none.items()
        }
        terms: list[tuple[Cond, Any]] = [(none, 1 - v), (first, v - w), (cond, w)]
        terms = [(given, weight) for given, weight in terms if not is_number(weight, 0)]
        ends = many(self.model, x, t, [given for given, _ in terms])
        weights = [weight for _, weight in terms]
        x0, eps = ends[0].x0 * weights[0], ends[0].eps * weights[0]
        for end, weight in zip(ends[1:], weights[1:], strict=True):
            x0, eps = x0 + weight * end.x0, eps + weight * end.eps
        return replace(ends[0], x0=x0, eps=eps)
