"""Inversions written down: from data to noise as a trace, and back from any step of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from demist.core import Conditioned, Model, Noise, denoisers
from demist.editing.invert import undoing, upwards
from demist.editing.inverting import states
from demist.errors import UsageError
from demist.model import Pipeline, Plan, Sampling, Trace
from demist.model.fits import unshifted
from demist.model.provenance import conditions_of, negative_of, require_fit
from demist.model.recorder import LIMIT, Recording
from demist.model.recording import recorded, sized_for
from demist.model.rewording import reworded
from demist.model.sampling import split
from demist.model.trace import ADVICE
from demist.samplers import Solver, TrajectoryPoint

Way = Literal["ddim", "fixed-point"]
"""The walk of `invert`, or that of `undo`; as in `INVERSIONS`."""

USUAL = {
    "ddim": Sampling(guidance=1.0, solver="adams"),
    "fixed-point": Sampling(guidance=1.0, solver="ddim"),
}
"""How inversions go if nobody says more: guidance adds up to errors that no way back undoes."""


def inversion(
    pipeline: Pipeline,
    data: np.ndarray | Tensor | Trace,
    sampling: Sampling | None = None,
    *,
    way: Way | None = None,
    limit: int = LIMIT,
    **asked: Any,
) -> Recording:
    """The walk of `invert` or `undo` from data to noise, to be written down; nothing runs yet.

    `inversion(pipeline, images, label="7", steps=40).run()` is a trace whose times rise; its last
    state is what `invert` gives, bit for bit on a CPU, or `undo`. The first runs without the bounds
    of predictions and so does what comes back; the second with them, at some five times the cost,
    one evaluation of which only shows what is predicted on the way.

    Args:
        pipeline: The model.
        data: `(n, ...)`: an array is data, a tensor are states; or a trace, whose last states are
            inverted under its conditions where nothing else is asked for.
        way: "ddim" as `invert`, "fixed-point" as `undo`; default the second for models that keep
            predictions within bounds, where without them the walk goes astray.
        sampling: How; what is not said is as in `USUAL`, then as the model has it.
        limit: Bytes that the trace may take.
        asked: Conditions that describe the data, fields of `Sampling`, and more; see
            `demist.model.recording.recorded`.

    Raises:
        UsageError: The solver draws noise, or an argument makes no sense.
    """
    how, cond = split(sampling, asked)
    if isinstance(data, Trace):
        if data.rising:
            raise UsageError("the trace ends in noise; what is inverted is data")
        pipeline = sized_for(pipeline, data)
        cond = {**conditions_of(data), **negative_of(data), **cond}
        data = data.x[-1]
    start: np.ndarray | Tensor = data
    if way is None:
        kept = any(denoiser.bounds is not None for denoiser in denoisers(pipeline.model))
        way = "fixed-point" if kept else "ddim"
    steps, free = (_climb, True) if way == "ddim" else (_undo, False)
    if way != "ddim" and (said := how.over(USUAL[way]).solver) != "ddim":
        raise UsageError(f"only steps of ddim are undone one by one, and this is {said}")
    how = unshifted(pipeline, how.over(USUAL[way]), both_ways=True)
    recording = recorded(pipeline, len(start), how, free=free, limit=limit, **cond)
    plan = _climbing(recording.plan, start, steps)
    return replace(recording, plan=plan, facts={**recording.facts, "grid": plan.grid.tolist()})


def returned(
    pipeline: Pipeline,
    trace: Trace,
    step: int | None = None,
    sampling: Sampling | None = None,
    *,
    limit: int = LIMIT,
    **changes: Any,
) -> Recording:
    """The way back to data from a step of an inversion, to be written down; nothing runs yet.

    Without changes it is the same times downwards, and comes back with an error that falls at the
    solver's order; `round_trip` measures it. With another prompt, class or guidance it edits.

    Args:
        pipeline: The model of the inversion.
        trace: The inversion.
        step: From which of its steps on, 1 or more; default the last: noise.
        sampling: What is to be otherwise.
        limit: Bytes that the new trace may take.
        changes: Conditions by name, fields of `Sampling`, and more. What is not said stays as it
            was; None for the null.

    Raises:
        UsageError: The trace is no inversion of this model, or a change makes no sense.
    """
    if not trace.rising:
        raise UsageError("the trace ends in data; what comes back begins with an inversion")
    step = trace.steps if step is None else step
    if type(step) is not int or not 1 <= step <= trace.steps:
        raise UsageError(f"step = {step!r}: this inversion has steps 1 to {trace.steps}")
    require_fit(pipeline, trace, other_model=False)
    pipeline = sized_for(pipeline, trace)
    how, cond = split(sampling, changes)
    missing = [k for k in trace.facts.get("also", ()) if k not in cond]
    if missing:
        raise UsageError(f"the inversion had {missing[0]}, which no file holds; give it again")
    grid = trace.facts["grid"][step::-1]
    if how.steps is None and how.grid is None:
        how = how.over(Sampling(grid=tuple(grid), steps=step))
    how = replace(how.over(Sampling(**trace.facts["sampling"])), start=grid[0])
    beside = negative_of(trace)
    beside |= {k: cond.pop(k) for k in (*ADVICE, "negative") if k in cond}
    cond = {**conditions_of(trace), **reworded(pipeline, cond, how.rewrite is not False)}
    return recorded(
        pipeline, trace.n, replace(how, rewrite=False), limit=limit,
        free=trace.facts.get("unclamped") is True,
        init=trace.x[step], **beside, **cond,
    )  # fmt: skip


def round_trip(trace: Trace, back: Trace) -> Tensor:
    """Root mean square between what an inversion began with and what came back, `(n,)`.

    In the unit of the states: pixels are from -1 to 1.
    """
    apart = (back.x[-1] - trace.x[0]).double()
    return apart.flatten(1).square().mean(1).sqrt()


def _climbing(plan: Plan, data: np.ndarray | Tensor, steps: Callable[..., Any]) -> Plan:
    """The plan that leads from data to noise by the steps of `plan`.

    Raises:
        UsageError: That is not possible.
    """
    if plan.feeds or plan.then is not None:
        raise UsageError(
            "a model of several stages is not inverted as a whole; take one of them alone"
        )
    if plan.solver.stochastic:
        raise UsageError(
            f"{plan.solver.name} draws noise, so no start leads to one given result; invert with "
            f"adams, ddim or heun"
        )
    return replace(
        plan, init=states(plan, data), grid=plan.grid.flip(0), constrain=None, until=None,
        walk=lambda rows: steps,
    )  # fmt: skip


def _climb(
    model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, *,
    constrain: object = None, index: int = 0, memory: object = None, **cond: Any,
) -> Iterator[TrajectoryPoint]:  # fmt: skip
    """The walk of `invert`, as `Plan.walk`; `grid` rises."""
    led = Conditioned(model, cond) if cond else model
    for i, state in enumerate(upwards(led, x, grid.flip(0), solver), 1):
        if not torch.isfinite(state).all():
            raise UsageError(
                f"{solver.name} cannot leave clean data, where the log-SNR is infinite; invert "
                f"with adams, ddim or heun"
            )
        yield TrajectoryPoint(i, grid[i], state, None)


def _undo(
    model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, *,
    constrain: object = None, index: int = 0, memory: object = None, **cond: Any,
) -> Iterator[TrajectoryPoint]:  # fmt: skip
    """The walk of `undo`, as `Plan.walk`; `grid` rises."""
    led = Conditioned(model, cond) if cond else model
    way = undoing(led, x, grid.flip(0))
    for i in range(1, len(grid)):
        # Asked for the record alone: what is first asked in a step is the prediction at its start.
        led(x, grid[i - 1])
        x, _ = next(way)
        yield TrajectoryPoint(i, grid[i], x, None)
