"""Several conditions at once, with weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Prediction, State, many
from demist.guidance.rule import Cond, Encode, Instead, Null, Rule, Scale, is_number, scale_at
from demist.parts import Part, bare, listed, split


def read_terms(text: str) -> tuple[tuple[Part[Instead], float], ...]:
    """Conditions and their weights from `((label=3,2),(text=a red dot,-0.5))`.

    Raises:
        ValueError: The text is not such a list.
    """
    return listed(text, [_read_term])


@dataclass(frozen=True)
class Compose(Rule):
    """The null's prediction plus weighted directions towards several conditions.

    A positive weight is AND, a negative one NOT. If, given x_t, the conditions were independent,
    weights of 1 would sample from their conjunction exactly; more guides as in `CFG`, which is one
    term. All predictions come from one batched call; terms of weight 0 are left out.

    References:
        Liu et al. 2022, "Compositional Visual Generation with Composable Diffusion Models",
        arXiv:2206.01714, eqs. 11 and 13.

    Attributes:
        null: Maps the conditions to those that the directions start from.
        terms: Conditions that count instead of the model's own (`Instead`), each with its weight;
            as text: `((label=3,2),(text=a red dot,-0.5))`. The model's own count with `scale`.
        scale: Weight of the model's own conditions.
    """

    null: Null
    terms: tuple[tuple[Null, Scale], ...] = field(
        default=(), metadata={"read": read_terms, "note": "such as ((label=3,2),(label=5,-1))"}
    )
    scale: Scale = field(default=1.0, metadata={"note": "else --guidance"})
    name: ClassVar[str] = "compose"
    neutral: ClassVar[Mapping[str, Any]] = {"terms": (), "scale": 1.0}

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        terms: list[tuple[Cond, Any]] = [(cond, scale_at(self.scale, t, x))]
        terms += [(instead(cond), scale_at(weight, t, x)) for instead, weight in self.terms]
        terms = [(given, w) for given, w in terms if not is_number(w, 0)]
        if len(terms) == 1 and is_number(terms[0][1], 1):
            return self.model(x, t, **terms[0][0])
        base, *ends = many(self.model, x, t, [self.null(cond), *(given for given, _ in terms)])
        p = base
        for end, (_, w) in zip(ends, terms, strict=True):
            p = replace(p, x0=p.x0 + w * (end.x0 - base.x0), eps=p.eps + w * (end.eps - base.eps))
        return p


def _read_term(text: str) -> tuple[Part[Instead], float]:
    *conditions, weight = split(bare(text)) or [""]
    pairs = [condition.partition("=")[::2] for condition in conditions]
    try:
        if not pairs or not all(name and value for name, value in pairs):
            raise ValueError
        words = {name.strip(): bare(value) for name, value in pairs}
        return Part("condition", _instead, {"words": words}, text), float(weight)
    except ValueError:
        raise ValueError("a list of conditions and weights, such as ((label=3,2))") from None


def _instead(words: Cond, encode: Encode) -> Instead:
    return Instead(encode(words))
