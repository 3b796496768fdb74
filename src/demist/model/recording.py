"""Samplings written down while they run, from the start or from any step of another trace."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from demist.core import Prediction, unclamped
from demist.errors import UsageError
from demist.model.plan import Plan
from demist.model.provenance import conditions_of, facts_of, negative_of, require_fit
from demist.model.remembered import moved
from demist.model.rewording import reworded
from demist.model.sampling import FIELDS, Sampling, split
from demist.model.trace import ADVICE, CURVE, Trace, as_large, as_small
from demist.samplers import TrajectoryPoint

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

LIMIT = 2**30
"""Bytes that a trace may take in memory, and in its file, if nobody says more."""

Change = Callable[[Plan], Plan]
"""What makes another plan of one, such as one that keeps a part of the images."""


def unchanged(plan: Plan) -> Plan:
    """The change that is none: what goes on from a trace that was made with one, without it."""
    return plan


@dataclass(frozen=True)
class Moment:
    """A state, and what was predicted there.

    Attributes:
        step: Steps done.
        t: Time.
        x: The state `(n, ...)`.
        x0: Predicted data, guided; of the last state the state itself.
    """

    step: int
    t: float
    x: Tensor
    x0: Tensor


@runtime_checkable
class Attention(Protocol):
    """What is asked after each step which part attends to which word."""

    labels: list[list[str]]
    """The words of each sample."""

    def taken(self) -> Tensor | None:
        """Of that step, `(n, W, h, w)`."""


@dataclass(eq=False)
class Recording:
    """A sampling that is written down; iterate to let it run, step by step.

    `for moment in recording: ...` gives each `Moment` once its prediction is known, those of the
    steps before `step` included; `recording.trace()` is what was written down, after the last.

    Attributes:
        plan: How it goes on.
        facts: How it was made; see `Trace.facts`.
        given: As in `Trace`.
        begun: The trace that it goes on from; None: from the start.
        step: From this step of it.
        memory: The solver's memory there.
        limit: Bytes that it may take.
        words: Who watches attention to words; see `demist.editing.attending`.
    """

    plan: Plan
    facts: Mapping[str, Any]
    given: Mapping[str, np.ndarray]
    begun: Trace | None = None
    step: int = 0
    memory: Any = None
    limit: int = LIMIT
    words: Attention | None = None
    _maps: list[Tensor | None] = field(default_factory=list)
    _x: list[Tensor] = field(default_factory=list)
    _x0: list[Tensor] = field(default_factory=list)
    _times: list[tuple[float, float, float]] = field(default_factory=list)
    _memories: list[Any] = field(default_factory=list)
    _looks: dict[str, list[Tensor]] = field(default_factory=dict)
    _kept: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    _bytes: int = 0

    def __iter__(self) -> Iterator[Moment]:
        """Run; each moment once its prediction is known.

        Raises:
            UsageError: The trace would take more than `limit`; told after the first steps.
        """
        plan, models = self.plan.watched()
        yield from self._copied()
        after = self._after()
        for point in plan.states(after=after):
            if point.index:
                asked = [m.first for m in models if m.first is not None]
                yield self._predicted(asked[0] if asked else None)
            for model in models:
                model.first = None
            self._arrived(point)
        yield Moment(plan.steps, float(self._times[-1][0]), self._x[-1], self._x[-1])

    def trace(self) -> Trace:
        """What was written down.

        Raises:
            UsageError: It has not run to its end yet.
        """
        if len(self._x) <= self.plan.steps:
            raise UsageError("the recording has not run to its end; iterate over it first")
        times, alpha, sigma = torch.tensor(self._times, dtype=torch.float64).unbind(1)
        # What an inversion ends in is noise, which no decoder has to be run for.
        seen = self.plan.preview if times[-1] > times[0] else self.plan.decode
        facts = self.facts if self.words is None else {**self.facts, "words": self.words.labels}
        return Trace(
            times.contiguous(), alpha.contiguous(), sigma.contiguous(), _curve(self.plan),
            torch.stack(self._x), torch.stack(self._x0), tuple(self._memories),
            np.asarray(seen(self._x[-1].to(self.plan.pipeline.device))),
            facts, self.given, {k: torch.stack(v) for k, v in self._looks.items()},
            _stacked(self._maps),
        )  # fmt: skip

    def look(self, which: str, step: int) -> np.ndarray:
        """A state (`x`) or a prediction (`x0`) written down so far, as data; see `Trace.look`."""
        last = self.plan if self.plan.then is None else self.plan.then
        if which in self._looks and step < len(self._looks[which]):
            return as_large(self._looks[which][step].numpy(), last.pipeline.shape)
        return self.plan.preview((self._x if which == "x" else self._x0)[step])

    @property
    def attended(self) -> bool:
        """Whether attention to words was recorded in the step that was written down last."""
        return bool(self._maps) and self._maps[-1] is not None

    def run(self) -> Trace:
        """Run to the end."""
        for _ in self:
            pass
        return self.trace()

    def _copied(self) -> Iterator[Moment]:
        """The moments of the trace that came before, taken over as they are."""
        begun = self.begun
        if begun is None:
            return
        for i in range(self.step + 1):
            self._x.append(begun.x[i])
            self._times.append(
                (float(begun.times[i]), float(begun.alpha[i]), float(begun.sigma[i]))
            )
            self._memories.append(begun.memories[i] if i < self.step else self.memory)
            if "x" in begun.seen:
                self._looks.setdefault("x", []).append(begun.seen["x"][i])
            if i == self.step:
                break
            self._x0.append(begun.x0[i])
            if self.words is not None:
                same = begun.facts.get("words") == self.words.labels
                self._maps.append(
                    begun.attention[i] if same and begun.attention is not None else None
                )
            if "x0" in begun.seen:
                self._looks.setdefault("x0", []).append(begun.seen["x0"][i])
            yield Moment(i, float(begun.times[i]), begun.x[i], begun.x0[i])

    def _after(self) -> TrajectoryPoint | None:
        """Where the plan goes on."""
        if self.begun is None:
            return None
        device = self.plan.pipeline.device
        n, whole = self.plan.n, self.plan._whole(self.plan.n)
        index = torch.arange(whole).clamp(max=n - 1)
        # Single numbers stay on the CPU, where schedules are computed.
        memory = moved(self.memory, lambda t: t[index].to(device) if t.shape else t)
        t = torch.tensor(self._times[-1][0], dtype=torch.float64)
        return TrajectoryPoint(self.step, t, self._x[-1].to(device), memory)

    def _arrived(self, point: TrajectoryPoint) -> None:
        """Write a point down."""
        schedule = self.plan.pipeline.denoiser.schedule
        alpha, sigma = schedule(point.t)
        self._times.append((float(point.t), float(alpha), float(sigma)))
        self._x.append(point.x.detach().cpu().clone())
        self._look("x", self._x[-1])
        n, whole, kept = self.plan.n, self.plan._whole(self.plan.n), self._kept
        self._kept = {}

        def keep(tensor: Tensor) -> Tensor:
            # What the solver still remembers from the step before is stored once.
            _, copy = kept.get(id(tensor)) or self._kept.get(id(tensor)) or (None, None)
            if copy is None:
                rows = tensor[:n] if tensor.shape and len(tensor) == whole else tensor
                copy = rows.detach().cpu().clone()
                self._bytes += copy.nbytes
            self._kept[id(tensor)] = (tensor, copy)
            return copy

        self._memories.append(moved(point.memory, keep))
        self._bytes += self._x[-1].nbytes
        if point.index:
            self._require_room(point.index)

    def _predicted(self, found: Prediction | None) -> Moment:
        """Write down what was predicted in the step that has just been taken."""
        n, step = len(self._x[-1]), len(self._x) - 1
        if found is None:
            self._x0.append(self._x0[-1] if self._x0 else self._x[-1])
        else:
            self._x0.append(found.x0[:n].detach().to("cpu", self._x[-1].dtype).clone())
            t = self._times[-1][0]
            self._times[-1] = (t, float(found.alpha), float(found.sigma))
        self._look("x0", self._x0[-1])
        self._bytes += self._x0[-1].nbytes
        if self.words is not None:
            found_maps = self.words.taken()
            self._maps.append(found_maps)
            self._bytes += 0 if found_maps is None else found_maps.nbytes
        return Moment(step, self._times[-1][0], self._x[-1], self._x0[-1])

    def _look(self, which: str, x: Tensor) -> None:
        """Write down what a state looks like, where that takes networks."""
        codec = (self.plan if self.plan.then is None else self.plan.then).pipeline.codec
        if not codec.components:
            return
        looks = self.plan.preview(x.to(self.plan.pipeline.device))
        factor = max(1, looks.shape[-1] // x.shape[-1])
        small = torch.from_numpy(np.ascontiguousarray(as_small(looks, factor)))
        self._looks.setdefault(which, []).append(small)
        self._bytes += small.nbytes

    def _require_room(self, done: int) -> None:
        expected = self._bytes * self.plan.steps / max(1, done - self.step)
        if expected > self.limit:
            raise UsageError(
                f"a trace of {self.plan.n} samples over {self.plan.steps} steps would take "
                f"{expected / 1e9:.2g} GB, more than its limit of {self.limit / 1e9:.2g} GB; trace "
                f"fewer samples, take fewer steps, or give a higher limit"
            )


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


def _stacked(maps: list[Tensor | None]) -> Tensor | None:
    """Maps of all steps, NaN where there are none; None: there are none at all."""
    like = next((one for one in maps if one is not None), None)
    if like is None:
        return None
    none = torch.full_like(like, float("nan"))
    return torch.stack([none if one is None else one for one in maps])


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


def _curve(plan: Plan) -> Tensor:
    """Time, alpha and sigma of the schedule, from data to noise."""
    t = torch.linspace(0, 1, CURVE, dtype=torch.float64)
    return torch.stack([t, *plan.pipeline.denoiser.schedule(t)], 1)


def sized_for(pipeline: "Pipeline", trace: Trace) -> "Pipeline":
    """The model for data of the size of a trace."""
    if pipeline.shape != trace.shape and pipeline.shape[1:] and trace.shape[1:]:
        pipeline = pipeline.sized((trace.shape[-2], trace.shape[-1]))
    if pipeline.shape != trace.shape:
        raise UsageError(f"the trace is of data of shape {trace.shape}, not {pipeline.shape}")
    return pipeline


def _said(change: Change | None) -> dict[str, Any]:
    return {} if change is unchanged else {"change": change}
