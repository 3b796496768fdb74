"""Samplings that will be written down: from the start, or from any step of another trace."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from demist.core import unclamped
from demist.errors import UsageError
from demist.model.plan import Plan
from demist.model.provenance import conditions_of, facts_of, negative_of, require_fit
from demist.model.recorder import LIMIT, Recording
from demist.model.rewording import reworded
from demist.model.sampling import FIELDS, Sampling, split
from demist.model.trace import ADVICE, Trace

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

Change = Callable[[Plan], Plan]
"""What makes another plan of one, such as one that keeps a part of the images."""


def unchanged(plan: Plan) -> Plan:
    """The change that is none: what goes on from a trace that was made with one, without it."""
    return plan


def recorded(
    pipeline: "Pipeline",
    n: int = 1,
    sampling: Sampling | None = None,
    *,
    change: Change | None = None,
    free: bool = False,
    limit: int = LIMIT,
    **asked: Any,
) -> Recording:
    """A sampling of `pipeline` that will be written down; nothing runs yet.

    Args:
        pipeline: The model.
        n: How many samples; they are made as one batch.
        sampling: How.
        change: Makes another plan of the one decided.
        free: Whether predictions may leave the range of the data, as on the way of an inversion and
            back; see `demist.core.unclamped`. The trace says so, and what goes on from it does so.
        limit: Bytes that the trace may take.
        asked: Further arguments of `Pipeline.plan`: conditions by name, fields of `Sampling`, ...

    Raises:
        UsageError: An argument makes no sense for this model.
    """
    how, cond = split(sampling, asked)
    beside = {k: cond.pop(k) for k in (*ADVICE, "negative", "init") if k in cond}
    if (size := cond.pop("size", None)) is not None:
        pipeline = pipeline.sized(size)
        if beside.get("weak") is not None:
            beside["weak"] = beside["weak"].sized(size)
    cond = reworded(pipeline, cond, how.over(pipeline.defaults).rewrite is not False)
    plan = pipeline.plan(n, replace(how, rewrite=False), **beside, **cond)
    facts, given = facts_of(pipeline, plan, cond, {**beside, **_said(change)})
    plan = _freed(plan, facts) if free else plan
    return Recording(plan if change is None else change(plan), facts, given, limit=limit)


def resumed(
    pipeline: "Pipeline",
    trace: Trace,
    step: int,
    sampling: Sampling | None = None,
    *,
    change: Change | None = None,
    other_model: bool = False,
    limit: int = LIMIT,
    **changes: Any,
) -> Recording:
    """A sampling that goes on from a step of another, as it was or with changes; nothing runs yet.

    Args:
        pipeline: The model.
        trace: What was written down.
        step: Steps of it that are kept, from 0 to all but one.
        sampling: What is to be otherwise; `steps` is how many are left to take.
        change: Makes another plan of the one decided. No file holds it, so a trace that was made
            with one asks for it again, or for `unchanged`; what the solver remembers is dropped.
        other_model: Whether `pipeline` may be another model than the one that made the trace.
        limit: Bytes that the new trace may take.
        changes: As in `recorded`. What is not said stays as it was; None for the null. Of a trace
            that was made with `weak`, `guide` or `constrain`, which no file holds, they are given
            again and taken for the same: another one cannot be told from it, and goes on with what
            the solver remembers of the one before.

    Raises:
        UsageError: There is no such step, the model is another one, or a change makes no sense.
    """
    if trace.rising:
        raise UsageError(
            "the trace leads from data to noise; come back from it with demist.editing.returned"
        )
    if type(step) is not int or not 0 <= step < trace.steps:
        raise UsageError(f"step = {step!r}: the trace can go on from steps 0 to {trace.steps - 1}")
    how, cond = split(sampling, changes)
    beside = {k: cond.pop(k) for k in (*ADVICE, "negative") if k in cond}
    for name in trace.facts.get("also", ()):
        if name == "change" and change is None:
            raise UsageError(
                "the trace was made with a change, such as a part that is kept, which no file "
                "holds; give it again, change=..., or go on without: "
                "change=demist.model.recording.unchanged"
            )
        if name != "change" and name not in beside:
            raise UsageError(f"the trace was made with {name}, which no file holds; give it again")
    if "init" in cond or "size" in cond:
        raise UsageError("a trace goes on from its own states: leave init and size out")
    same = require_fit(pipeline, trace, other_model)
    pipeline = sized_for(pipeline, trace)
    before = Sampling(**trace.facts["sampling"])
    wanted = how.over(before)
    cond = {**conditions_of(trace), **reworded(pipeline, cond, wanted.rewrite is not False)}
    beside = {**negative_of(trace), **beside}
    if before.start != 1:
        beside["init"] = trace.x[0]
    plan = pipeline.plan(trace.n, _along(pipeline, trace, step, how, before), **beside, **cond)
    turned = set(how.given()) - {"seed", "steps", "grid", "batch_size"}
    turned |= set(changes) - set(FIELDS) - set(trace.facts.get("also", ()))  # those are given again
    turned |= {"solver"} if plan.sampling.solver != before.solver else set()
    # A memory is of one solver and one model: of others it would be a jump.
    memory = trace.memories[step] if same and change is None and not turned else None
    facts, given = facts_of(pipeline, plan, cond, {**beside, **_said(change)})
    facts["branches"] = [
        *trace.facts.get("branches", ()),
        {"step": step, "steps": trace.steps, "sampling": trace.facts["sampling"]},
    ]
    plan = _freed(plan, facts) if trace.facts.get("unclamped") is True else plan
    plan = plan if change is None else change(plan)
    return Recording(plan, facts, given, trace, step, memory, limit)


def _freed(plan: Plan, facts: dict[str, Any]) -> Plan:
    """A plan whose predictions may leave the range of the data, and a trace that says so."""
    facts["unclamped"] = True
    return replace(plan, model=unclamped(plan.model))


def _along(
    pipeline: "Pipeline", trace: Trace, step: int, how: Sampling, before: Sampling
) -> Sampling:
    """The recipe whose first `step` steps are those of a trace, and the rest as asked for."""
    wanted = replace(how.over(before), rewrite=False)
    if how.steps is None and how.grid is None:
        if how.solver in (None, before.solver):
            return wanted
        return replace(wanted, grid=tuple(trace.facts["grid"]), steps=trace.steps)
    kept = trace.facts["grid"][: step + 1]
    left, start = how.steps or trace.steps - step, kept[-1]
    rest = pipeline.plan(
        1, solver=wanted.solver, grid=how.grid, steps=left, start=start,
        init=torch.zeros(pipeline.state_shape),
    ).grid  # fmt: skip
    grid = (*kept, *rest[1:].tolist())
    return replace(wanted, grid=grid, steps=len(grid) - 1)


def sized_for(pipeline: "Pipeline", trace: Trace) -> "Pipeline":
    """The model for data of the size of a trace."""
    if pipeline.shape != trace.shape and pipeline.shape[1:] and trace.shape[1:]:
        pipeline = pipeline.sized((trace.shape[-2], trace.shape[-1]))
    if pipeline.shape != trace.shape:
        raise UsageError(f"the trace is of data of shape {trace.shape}, not {pipeline.shape}")
    return pipeline


def _said(change: Change | None) -> dict[str, Any]:
    return {} if change is unchanged else {"change": change}
