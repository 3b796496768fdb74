"""A pipeline of diffusers of any kind, opened there, as a denoiser of ours.

For models whose folders are not read here. The pipeline itself says how its network is called: it
takes two steps while what it gives to the network and to its scheduler is written down.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from demist.conditions import nested
from demist.core import Denoiser
from demist.errors import UsageError
from demist.interop.schedulers import read_scheduler

NETWORKS = ("transformer", "unet", "prior", "decoder")
TIMES = ("timestep", "timesteps", "t")
STEPS = 4
"""Steps that a pipeline is asked for; it is stopped in the third."""
SLACK = 1e-4
"""Relative; what rounding may make of a line through three times."""


@dataclass(frozen=True, eq=False)
class Wrapped:
    """A network of diffusers as a denoiser, with the conditions of one call of its pipeline.

    Attributes:
        denoiser: Takes states and times of ours, and `cond`.
        cond: Tensors whose first axis is the batch, by name.
        shape: Of the state of one sample.
        grid: Times at which the pipeline itself would have been at its first steps.
    """

    denoiser: Denoiser
    cond: Mapping[str, Tensor]
    shape: tuple[int, ...]
    grid: tuple[float, ...]


class Called(nn.Module):
    """A network called as its pipeline calls it.

    Args:
        net: The network.
        state: Name of the argument that takes the state.
        time: Name of the argument that takes the time.
        line: `(a, b)`: it is given `a t + b` for the scheduler's timestep t.
        sign: 1, or -1 where the pipeline turns the output around.
        fixed: Further arguments, the same in each call.
    """

    one_time_per_sample = True

    def __init__(
        self,
        net: nn.Module,
        state: str,
        time: str,
        line: tuple[float, float],
        sign: int,
        fixed: Mapping[str, Any],
    ):
        super().__init__()
        self.net, self.state, self.time = net, state, time
        self.line, self.sign, self.fixed = line, sign, dict(fixed)

    def forward(self, x: Tensor, t: Tensor, **cond: Tensor) -> Tensor:
        """The output as the scheduler is given it, of x's shape or with twice the channels."""
        given: dict[str, Any] = {
            name: parts[""] if set(parts) == {""} else parts for name, parts in nested(cond).items()
        }
        for name, value in self.fixed.items():
            given[name] = value | given.get(name, {}) if isinstance(value, dict) else value
        first = next(self.net.parameters())
        a, b = self.line
        time = (a * t.expand(len(x)) + b).to(first.dtype)
        out = self.net(**{self.state: x.to(first.dtype), self.time: time}, **given)
        return _tensor(out).float() * self.sign


@dataclass
class _Record:
    """What was seen in the calls of one pipeline."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)
    steps: list[tuple[Tensor, float, Tensor]] = field(default_factory=list)


class _Seen(Exception):
    pass


def wrap(pipeline: Any, **call: Any) -> Wrapped:
    """A denoiser from a pipeline of diffusers, whatever its class.

    Guidance is ours, so the pipeline is called without its own: `guidance_scale=1` for most. What
    guidance leads away from is a second `wrap` with the negative prompt: its `cond` in
    `demist.guidance.Instead`.

    Args:
        pipeline: The pipeline, with its weights.
        call: Arguments of its call: `prompt=["a cat", "a dog"], guidance_scale=1.0`. Steps, output
            and callbacks are set here.

    Raises:
        UsageError: The pipeline calls its network in a way that is no denoiser, such as twice a
            step with guidance of its own.
        DataError: Its scheduler is not known.
    """
    name = next((n for n in NETWORKS if isinstance(getattr(pipeline, n, None), nn.Module)), None)
    if name is None:
        raise UsageError(
            f"a {type(pipeline).__name__} has no network called {', '.join(NETWORKS)}, so there is "
            f"nothing to make a denoiser of"
        )
    net = getattr(pipeline, name)
    scheduler = pipeline.scheduler
    kind = {"_class_name": type(scheduler).__name__}
    scheduled = read_scheduler({**scheduler.config, **kind}, type(pipeline).__name__)
    names = list(inspect.signature(net.forward).parameters)
    record = _watched(pipeline, net, names, call)
    state, time = names[0], next((n for n in TIMES if n in names), "")
    given = [seen.pop(time, None) for seen in record.asked]
    seen = [float(torch.as_tensor(value).flatten()[0]) for value in given if value is not None]
    if len(seen) != len(record.steps) or len(seen) < 3:
        raise UsageError(
            f"{type(pipeline).__name__} called its network {len(record.asked)} times in "
            f"{len(record.steps)} steps; switch its own guidance off (guidance_scale=1)"
        )
    start = record.asked[0].pop(state)
    _require_state(start, record.steps[0][2], type(pipeline).__name__)
    line = _line([step[1] for step in record.steps], seen, type(pipeline).__name__)
    sign, learned = _output(record.answers[0], record.steps[0][0], type(pipeline).__name__)
    cond, fixed = _parted(record.asked[0], len(start))
    called = Called(net, state, time, line, sign, fixed)
    denoiser = Denoiser(
        called, scheduled.schedule, scheduled.parameterization, clock=scheduled.clock,
        learn_variance=learned, bounds=None,
    ).eval()  # fmt: skip
    first = -float(scheduled.clock(*[torch.zeros(())] * 3))  # 1 where steps are counted from 0
    grid = tuple((step[1] + first) / scheduled.steps for step in record.steps)
    return Wrapped(denoiser, cond, tuple(start.shape[1:]), grid)


def _watched(pipeline: Any, net: nn.Module, names: list[str], call: Mapping[str, Any]) -> _Record:
    """Call a pipeline, and stop it in its third step."""
    record, take = _Record(), pipeline.scheduler.step

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        record.asked.append({**dict(zip(names, args, strict=False)), **kwargs})

    def after(_: nn.Module, __: Any, output: Any) -> None:
        record.answers.append(_tensor(output).detach().clone())

    def step(output: Tensor, t: Any, sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        record.steps.append((output.detach().clone(), float(t), sample.detach().clone()))
        if len(record.steps) == 3:
            raise _Seen
        return take(output, t, sample, *args, **kwargs)

    hooks = [
        net.register_forward_pre_hook(before, with_kwargs=True),
        net.register_forward_hook(after),
    ]
    pipeline.scheduler.step = step
    try:
        with torch.no_grad():
            pipeline(**{**call, "num_inference_steps": STEPS, "output_type": "latent"})
    except _Seen:
        pass
    finally:
        del pipeline.scheduler.step  # the method of its class shows again
        for hook in hooks:
            hook.remove()
    return record


def _tensor(output: Any) -> Tensor:
    """The tensor of what a network of diffusers returns."""
    while not isinstance(output, Tensor):
        output = output[0]
    return output


def _require_state(given: Any, sample: Tensor, name: str) -> None:
    if not isinstance(given, Tensor) or given.shape[1:] != sample.shape[1:]:
        shape = tuple(getattr(given, "shape", ()))
        raise UsageError(
            f"{name} gives its network {shape} for a state of {tuple(sample.shape)}: more than the "
            f"state, which no denoiser takes"
        )
    if len(given) != len(sample):
        raise UsageError(
            f"{name} gives its network {len(given)} states for {len(sample)} samples; switch its "
            f"own guidance off (guidance_scale=1)"
        )


def _line(known: list[float], seen: list[float], name: str) -> tuple[float, float]:
    """`(a, b)` with `seen = a known + b`.

    Raises:
        UsageError: They lie on no line.
    """
    a = (seen[2] - seen[0]) / (known[2] - known[0])
    b = seen[0] - a * known[0]
    if abs(a * known[1] + b - seen[1]) > SLACK * max(map(abs, seen)):
        raise UsageError(f"{name} gives its network times that are no line of the scheduler's")
    return a, b


def _output(answer: Tensor, used: Tensor, name: str) -> tuple[int, bool]:
    """Sign of the output, and whether half of it is a variance.

    Raises:
        UsageError: The pipeline makes something else of it.
    """
    learned = answer.shape[1] == 2 * used.shape[1]
    whole = answer[:, : used.shape[1]] if learned else answer
    if whole.shape == used.shape:
        for sign in (1, -1):
            if torch.allclose(whole.float() * sign, used.float(), atol=1e-5, rtol=1e-4):
                return sign, learned
    raise UsageError(
        f"{name} makes something of its network's output before the step; switch its own guidance "
        f"off (guidance_scale=1)"
    )


def _parted(given: Mapping[str, Any], batch: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Arguments that have a batch axis, and those that are the same for all."""
    cond: dict[str, Tensor] = {}
    fixed: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, Mapping):
            inner, rest = _parted(value, batch)
            cond |= {f"{name}.{key}": part for key, part in inner.items()}
            fixed[name] = rest
        elif isinstance(value, Tensor) and value.shape[:1] == (batch,):
            cond[name] = value.detach()
        else:
            fixed[name] = value
    return cond, fixed
