"""What a trace says of how it was made, and what is read of that to go on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from demist.conditions import Control
from demist.errors import UsageError
from demist.model import components, folder
from demist.model.feeders import identity
from demist.model.keywords import plain
from demist.model.plan import Plan
from demist.model.trace import ASKED, Trace
from demist.version import __version__

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


def facts_of(
    pipeline: "Pipeline", plan: Plan, cond: Mapping[str, Any], beside: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a trace says of how it was made, and the arrays that it names."""
    given: dict[str, np.ndarray] = {}

    def one(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: one(item) for name, item in value.items()}
        if isinstance(value, np.ndarray) and value.dtype.kind not in "biuf":  # words
            value = value.tolist()
        if isinstance(value, np.ndarray | Tensor) and value.shape:
            given[name := f"given.{len(given)}"] = np.array(value)
            return {"given": name}
        value = plain(value)
        if isinstance(value, list):
            return [one(item) for item in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        what = "Control" if isinstance(value, Control) else type(value).__name__
        raise UsageError(f"a trace holds no condition that is a {what}; sample without a trace")

    codec = pipeline.codec
    facts = {
        "demist": __version__,
        "model": identity(pipeline),
        "shape": list(pipeline.shape),
        "codec": None if codec.components else components.codec_json(codec, folder.to_json),
        "sampling": plan.sampling.recipe(),
        "grid": plan.grid.tolist(),
        "cond": {name: one(value) for name, value in cond.items()},
        "negative": one(beside.get("negative")),
        "also": [name for name in ASKED if beside.get(name) is not None],
    }
    return facts, given


def conditions_of(trace: Trace) -> dict[str, Any]:
    """The conditions of a trace, as they were given."""
    return {name: _told(value, trace) for name, value in trace.facts["cond"].items()}


def negative_of(trace: Trace) -> dict[str, Any]:
    """The argument `negative` of a trace, if it had one."""
    said = trace.facts.get("negative")
    return {} if said is None else {"negative": {k: _told(v, trace) for k, v in said.items()}}


def _told(value: Any, trace: Trace) -> Any:
    """The value of a condition that a trace tells.

    Raises:
        UsageError: It names an array that is not there.
    """
    if isinstance(value, list):
        return [_told(item, trace) for item in value]
    if isinstance(value, dict):
        name = str(value.get("given"))
        if name not in trace.given:
            raise UsageError(f"the trace names a condition {name!r} and does not hold it")
        return trace.given[name]
    return value


def require_fit(pipeline: "Pipeline", trace: Trace, other_model: bool) -> bool:
    """Whether the model is the one that made the trace.

    Raises:
        UsageError: It is another one, and that is not allowed.
    """
    was, now = _weights(trace.facts["model"]), _weights(identity(pipeline))
    if was != now and not other_model:
        known = was["sha256"] == now["sha256"]
        what = (
            "this model with another refiner, or other stages before it"
            if known
            else f"another model (weights {str(was['sha256'])[:12]}, and these are "
            f"{now['sha256'][:12]})"
        )
        raise UsageError(
            f"the trace was made by {what}; open that one, or allow it: other_model=True"
        )
    return bool(was == now)


def _weights(said: Any) -> Any:
    """Of the identity of a model that which decides about its samples."""
    if not isinstance(said, Mapping):
        return said
    stages = said.get("stages")
    return {
        "sha256": said.get("sha256"), "start": said.get("start"),
        "refiner": _weights(said.get("refiner")),
        "stages": {name: _weights(one) for name, one in stages.items()}
        if isinstance(stages, Mapping) else stages,
    }  # fmt: skip
