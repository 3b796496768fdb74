"""A sampling that is written down while it runs, step by step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from demist.core import Prediction
from demist.errors import UsageError
from demist.model.plan import Plan
from demist.model.remembered import moved
from demist.model.trace import CURVE, Trace, as_large, as_small
from demist.samplers import TrajectoryPoint

LIMIT = 2**30
"""Bytes that a trace may take in memory, and in its file, if nobody says more."""


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


def _stacked(maps: list[Tensor | None]) -> Tensor | None:
    """Maps of all steps, NaN where there are none; None: there are none at all."""
    like = next((one for one in maps if one is not None), None)
    if like is None:
        return None
    none = torch.full_like(like, float("nan"))
    return torch.stack([none if one is None else one for one in maps])


def _curve(plan: Plan) -> Tensor:
    """Time, alpha and sigma of the schedule, from data to noise."""
    t = torch.linspace(0, 1, CURVE, dtype=torch.float64)
    return torch.stack([t, *plan.pipeline.denoiser.schedule(t)], 1)
