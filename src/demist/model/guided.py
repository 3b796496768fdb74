"""The denoiser that samples: the model's own, under the guidance that was asked for."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from torch import Tensor

from demist.core import Model
from demist.errors import UsageError
from demist.guidance import Instead, Interval, RuleMaker, Scale, make_rule
from demist.model import components, encoders
from demist.model import folder as model_folder
from demist.model.plan import Guide
from demist.model.sampling import Sampling
from demist.model.values import name_of, value_of

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


def guided(
    pipeline: "Pipeline",
    full: Sampling,
    cond: Mapping[str, Any],
    *,
    negative: Mapping[str, Any] | None = None,
    weak: "Pipeline | None" = None,
    guide: Guide | None = None,
) -> Model:
    """The denoiser under the rule of the recipe, if that does anything, then under `guide`.

    Args:
        pipeline: The model.
        full: The complete recipe.
        cond: Conditions by name, not encoded.
        negative: Conditions that guidance leads away from; by default the null. Where nothing is
            asked for, it leads from there towards the null.
        weak: A weaker model, for rules that lead away from one.
        guide: Further guidance, outermost.

    Raises:
        UsageError: An option cannot work with this rule or model.
    """
    conditioner, scale, spec = pipeline.conditioner, full.guidance, full.guidance_rule
    assert scale is not None
    assert spec is not None
    conditioner.require([*cond, *(negative or ())])
    rule = make_rule(spec)
    _require_first(rule, spec, pipeline)
    negates = any(value is not None for value in (negative or {}).values())
    _require_use(rule, spec, full, pipeline.defaults.guidance, negates, weak is not None)
    if weak is not None:
        require_alike(pipeline, weak)
    try:
        interval = full.guidance_interval
        over_time: Scale = scale if interval is None else Interval(scale, *interval)
    except ValueError as error:
        raise UsageError(str(error)) from None

    def encode(words: Mapping[str, Any]) -> dict[str, Tensor]:
        values = {name_of(pipeline, k): value_of(pipeline, k, w) for k, w in words.items()}
        if conditioner.holding(values) is not conditioner:
            raise UsageError(f"the prompt in the rule {spec} is longer than the others; shorten it")
        return conditioner.encode_only(1, values)

    model = pipeline.model
    away, null = Instead(conditioner.encode_only(1, negative or {})), conditioner.null
    ruled = rule(
        model, over_time, lambda given: away(null(given)), encode=encode,
        weak=None if weak is None else weak.model,
    )  # fmt: skip
    given = any(value is not None for value in cond.values())
    if not rule.is_idle(scale) and (given or negates or not rule.from_null):
        drops = [c.drop for c in conditioner.conditions.values()]
        nulls = not negates or not given  # the null is one end, or both are conditions
        if rule.takes("null") and drops and nulls and not any(drops):
            raise UsageError(
                f"guidance {scale:g} starts from the unconditional model, which this one never "
                f"learned (it was trained with label_drop = 0); use 1"
                + ("" if spec == "cfg" else f", and another rule than {spec}")
            )
        model = ruled
    return model if guide is None else guide(model)


def negative_for(
    sampling: Sampling, negative: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """What guidance leads away from, if a complete recipe has guidance at all."""
    assert sampling.guidance is not None
    assert sampling.guidance_rule is not None
    return None if make_rule(sampling.guidance_rule).is_idle(sampling.guidance) else negative


def weak_for(rule: str | None, weak: "Pipeline | None") -> "Pipeline | None":
    """The weaker model, if the rule leads away from one."""
    return weak if rule is not None and make_rule(rule).takes("weak") else None


def require_alike(pipeline: "Pipeline", weak: "Pipeline") -> None:
    """Raise UsageError unless `weak` predicts the same data from the same states and conditions."""
    names, others = (sorted(p.conditioner.conditions) for p in (pipeline, weak))
    if names != others:
        raise UsageError(
            f"the weak model's conditions are {', '.join(others) or 'none'}, this model's "
            f"{', '.join(names) or 'none'}; give a weak model with the same conditions"
        )
    for name in names:
        if _of_data(pipeline, name) != _of_data(weak, name):
            raise UsageError(
                f"the weak model's condition {name!r} is not that of this model, so the same value "
                f"means something else to it; give a weak model trained on the same data"
            )
    for what in ("shape", "codec", "schedule"):
        mine, its = (_ABOUT[what](p) for p in (pipeline, weak))
        if mine != its:
            raise UsageError(
                f"the weak model's {what} is {its}, this model's {mine}; guidance takes the "
                f"difference of two predictions, so give a weak model with the same {what}"
            )
    devices = [p.device for p in (pipeline, weak)]
    if devices[0] != devices[1]:
        raise UsageError(
            f"the weak model is on {devices[1]}, this model on {devices[0]}; move it there with "
            f"weak.to({str(devices[0])!r})"
        )


def _require_use(
    rule: RuleMaker, spec: str, full: Sampling, usual: float | None, negative: bool, weak: bool
) -> None:
    """Raise UsageError if something is given of which the rule makes no use."""
    scaled = [r for r in rule.rules if "scale" in {f.name for f in fields(r.cls)}]
    if full.guidance not in (1, usual) and not scaled:
        raise UsageError(
            f"guidance {full.guidance:g}: the rule {spec} has no scale; leave guidance out, or "
            f"guide first: {spec.partition(':')[0]}:model=cfg"
        )
    if full.guidance_interval is not None and all("scale" in r.options for r in scaled):
        raise UsageError(
            f"guidance_interval {full.guidance_interval}: it limits the scale of a rule, and "
            f"{spec} has none or gives its own; leave one of them out"
        )
    if negative and not rule.takes("null"):
        raise UsageError(
            f"negative: the rule {spec} leads away from no condition; use cfg, apg, rescale or "
            f"compose, or leave negative out"
        )
    if negative and rule.is_idle(full.guidance or 0.0):
        raise UsageError(
            f"negative: guidance {full.guidance:g} leads away from nothing; give more, such as "
            f"guidance 2, or leave negative out"
        )
    if weak and not rule.takes("weak"):
        raise UsageError(
            f"weak: the rule {spec} uses no weaker model; ask for the rule autoguidance, or leave "
            f"weak out"
        )


def _require_first(rule: RuleMaker, spec: str, pipeline: "Pipeline") -> None:
    """Raise UsageError if a rule puts a condition first that the model does not have."""
    known = pipeline.conditioner.conditions
    for part in rule.rules:
        for field in fields(part.cls):
            if (
                field.name == "first"
                and (name := part.options.get("first", field.default)) not in known
            ):
                raise UsageError(
                    f"the rule {spec} comes to {name!r} first, and this model's conditions are "
                    f"{', '.join(known) or 'none'}; write dual:first=NAME, or take the rule cfg"
                )


def _of_data(pipeline: "Pipeline", name: str) -> Any:
    """A condition's class and fields, without how often training hides it."""
    condition: Any = pipeline.conditioner.conditions[name]
    named = {f.name: getattr(condition, f.name) for f in fields(condition)}
    copies = {place: encoders.digest(place) for place in condition.saved_folders}
    named = {k: copies.get(v, v) if isinstance(v, str) else v for k, v in named.items()}
    return type(condition), {k: _seen(v) for k, v in named.items() if k not in ("drop", "group")}


def _seen(value: Any) -> Any:
    """A field as JSON; of what JSON does not hold, such as a text encoder, its class."""
    if isinstance(value, tuple):
        return [_seen(item) for item in value]
    try:
        return model_folder.to_json(value)
    except TypeError:
        return type(value)


def _codec(pipeline: "Pipeline") -> Any:
    further = pipeline.codec.components
    description = components.codec_json(pipeline.codec, model_folder.to_json)
    return {**description, "sha256": components.hash_of(further)} if further else description


def _schedule(pipeline: "Pipeline") -> Any:
    return model_folder.to_json(pipeline.denoiser.schedule)


def _shape(pipeline: "Pipeline") -> Any:
    return tuple(pipeline.shape)


_ABOUT = {"shape": _shape, "codec": _codec, "schedule": _schedule}
"""What must agree -> how to see it."""
