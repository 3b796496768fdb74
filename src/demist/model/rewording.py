"""Prompts of samples in the words of the captions that a model has learned from."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from demist.conditions import REWRITINGS, Condition
from demist.errors import UsageError
from demist.model.values import PROMPT

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


def rewriting_of(pipeline: "Pipeline", name: str) -> str:
    """The rewriting of the prompts that a condition reads, or "".

    Models that were saved before it was say it by the data that they learned from.
    """
    condition: Condition | None = pipeline.conditioner.conditions.get(name)
    if condition is None or condition.short != PROMPT:
        return ""
    named, learned = getattr(condition, "rewrite", ""), str(pipeline.facts.get("data"))
    return str(named) or (learned if learned in REWRITINGS else "")


def reworded(pipeline: "Pipeline", cond: Mapping[str, Any], wanted: bool) -> dict[str, Any]:
    """Conditions whose prompts are rewritten as the model's captions are; it is said how.

    What is not understood stays as it is, and that is said, too.

    Args:
        pipeline: The model.
        cond: What is asked for, by name of the condition.
        wanted: Whether anything is rewritten.
    """
    found = dict(cond)
    for name, value in cond.items():
        if wanted and value is not None and (how := rewriting_of(pipeline, name)):
            alone = isinstance(value, str)
            texts = [value] if alone else list(np.asarray(value, dtype=object))
            changed = _rewritten(texts, how)
            found[name] = changed[0] if alone else changed
    return found


def _rewritten(texts: list[Any], how: str) -> list[Any]:
    out, new, strange = list[Any](), list[str](), list[str]()
    for text in texts:
        try:
            out.append(REWRITINGS[how](text) if text else text)
            new += [out[-1]] if out[-1] != text else []
        except UsageError:
            out.append(text)
            strange.append(text)
    if new:
        many = f"{len(new)} of {len(texts)} prompts are" if len(texts) > 1 else "the prompt is"
        first = ", the first" if len(new) > 1 else ""
        warnings.warn(
            f"{many} rewritten as this model's captions say it{first}: {new[0]!r}; --no-rewrite "
            f"(in Python rewrite=False) leaves prompts as they are",
            stacklevel=2,
        )
    if strange:
        warnings.warn(
            f"the prompt {strange[0]!r} is not understood ({len(strange)} of {len(texts)}), so it "
            f"is used as it is; this model's captions are those of {how}, in one fixed wording",
            stacklevel=2,
        )
    return out
