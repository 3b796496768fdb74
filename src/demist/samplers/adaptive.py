r"""Probability flow to a chosen tolerance, down to data or up to noise.

In flow time tau = sigma / (alpha + sigma), with z = x / (alpha + sigma), the ODE of every schedule
is

    dz / dtau = eps - x0

and regular at both ends, so an integrator for smooth equations chooses its own steps from pure
noise (tau = 1) to data (tau = 0), and no grid is needed.

At clean data itself eps cannot be asked of a model. There the last stretch, from
tau_0 = sqrt(rtol + atol) / 10 to 0, is one Euler step with the slope at tau_0; this ends at x0 as
predicted there, and leaves an error of tau_0^2 / 2 times the rate of eps, well below the tolerance.
Starting from clean data the same step is taken backwards.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Fields, Model, State, combine, solvable
from demist.samplers.numerics.flow import flow_time

# Dormand & Prince 1980; Hairer, Norsett & Wanner 1993, table II.5.2: RK5(4)7M.
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


@dataclass(frozen=True)
class Step:
    """A step that was accepted.

    Attributes:
        time: Where it ended.
        y: The state there.
        slope: dy/dtime there.
        rejected: Trials rejected since the beginning.
        evaluations: Evaluations of the slope since the beginning.
    """

    time: float
    y: Tensor
    slope: Tensor
    rejected: int
    evaluations: int


def dormand_prince(
    f: Callable[[float, Tensor], Tensor],
    y: Tensor,
    start: float,
    end: float,
    *,
    rtol: float | Tensor,
    atol: float | Tensor,
    max_steps: int = 1000,
) -> Iterator[Step]:
    """Integrate dy/dtime = f(time, y) from `start` to `end`; yield the start and each step.

    The pair of order 5(4) with six evaluations per trial (the last one is the next step's first).
    A step is accepted if each sample's error estimate, in units of `atol + rtol |y|` and root mean
    square over its elements, is at most 1; all samples share the steps. A proportional-integral
    controller chooses the next length.

    Args:
        f: The slope, of `y`'s shape. It is called with gradients as they are.
        y: State at `start`, shape `(B, ...)`.
        start: Where to begin.
        end: Where to go; every time asked lies between the two.
        rtol: Error allowed per step, relative to `y`. A tensor that broadcasts against `y` gives
            each element its own; some may be 0.
        atol: Error allowed per step, absolute; a number or a tensor too.
        max_steps: Trials, accepted or not, before giving up.

    Raises:
        ValueError: If the tolerances are not positive or beyond the state's precision.
        RuntimeError: If `max_steps` do not suffice, or a slope is not finite.

    References:
        Dormand & Prince 1980, "A family of embedded Runge-Kutta formulae"; Hairer, Norsett & Wanner
        1993, "Solving Ordinary Differential Equations I", sections II.4 and II.5; Gustafsson 1991
        (control).
    """
    precision = 10 * torch.finfo(y.dtype).eps
    largest, least = float(torch.as_tensor(rtol).max()), float(torch.as_tensor(atol).min())
    if not (largest >= precision and least >= 0):
        raise ValueError(
            f"rtol must be at least {precision:.1g} for a state of type {y.dtype} and atol at "
            f"least 0, got rtol = {largest:g}, atol = {least:g}; use a double precision "
            "state for less"
        )
    time, slope = start, f(start, y)
    evaluations, rejected, last_error = 1, 0, 1.0
    yield Step(time, y, slope, rejected, evaluations)
    h = (end - start) * min(0.1, largest**0.2)
    for _ in range(max_steps):
        if abs(h) >= 0.999 * abs(end - time):
            h = end - time
        slopes = [slope]
        for node, row in zip(_NODES, _STAGES, strict=True):
            new = y + h * combine(row, slopes)
            slopes.append(f(end if h == end - time and node == 1 else time + node * h, new))
        evaluations += 6
        scale = atol + rtol * torch.maximum(y.abs(), new.abs())
        ratio = (h * combine(_ERROR, slopes) / scale).square().flatten(1).mean(1)
        error = math.sqrt(float(ratio.max())) if len(ratio) else 0.0
        if not math.isfinite(error):
            raise RuntimeError(
                f"the slope at time {time:g} is not finite, or the state has become so; is the "
                f"model finite at this noise level?"
            )
        if error > 1:
            rejected += 1
            h *= max(0.2, 0.9 * error**-0.2)
            continue
        time = end if h == end - time else time + h
        y, slope = new, slopes[-1]
        yield Step(time, y, slope, rejected, evaluations)
        if time == end:
            return
        h *= min(5.0, 0.9 * max(error, 1e-10) ** -0.14 * last_error**0.08)
        last_error = max(error, 1e-4)
    raise RuntimeError(
        f"{max_steps} steps led from {start:g} only to {time:g}, not to {end:g}, at rtol = "
        f"{largest:g} and atol = {least:g}; allow larger errors or more steps"
    )


@dataclass(frozen=True)
class Solution:
    """Where the flow led, and what it took.

    Attributes:
        x: State at the last time.
        times: Times visited, both ends included, float64.
        states: The state at each of them, if they were to be kept; else empty.
        accepted: Steps made.
        rejected: Trials that were not accurate enough.
        evaluations: Calls of the model.
    """

    x: State
    times: Tensor
    states: tuple[State, ...]
    accepted: int
    rejected: int
    evaluations: int


def integrate(
    model: Model,
    x: State,
    t: Tensor | float = 1.0,
    s: Tensor | float = 0.0,
    *,
    rtol: float = 1e-4,
    atol: float = 1e-4,
    max_steps: int = 1000,
    keep: bool = False,
    **cond: Any,
) -> Solution:
    """Follow the probability-flow ODE from time `t` to time `s`, as exactly as asked.

    Down (`s < t`) this samples, up it inverts: `integrate(model, integrate(model, x, 0, 1).x)` is
    `x` again, to about the tolerance. A batch shares its steps, so that a sample depends on the
    others within the tolerance.

    Args:
        model: Any denoiser.
        x: State at time `t`, shape `(B, ...)`. To start in pure noise: `sigma(1)` times a draw.
        t: Time to start at, in [0, 1].
        s: Time to go to, in [0, 1].
        rtol: Error allowed per step, relative to the state. The error at the end is of its order.
        atol: The same absolutely, in units of alpha + sigma: at t = 0, those of the data.
        max_steps: Trials before giving up.
        keep: Whether to return the states at all times visited.
        cond: Conditions, handed to the model.

    Raises:
        ValueError: If the times are equal or out of range, or a tolerance beyond x's precision.
        RuntimeError: If `max_steps` do not suffice, or the model is not finite somewhere.

    References:
        Song et al. 2021, arXiv:2011.13456, section 4.3 (the probability-flow ODE by a black-box
        solver).
    """
    ends = torch.tensor([float(t), float(s)], dtype=torch.float64)
    if not (ends >= 0).all() or not (ends <= 1).all() or ends[0] == ends[1]:
        raise ValueError(f"integrate needs two different times in [0, 1], got {ends.tolist()}")
    asked, ends = ends, solvable(model, ends, abs(float(ends.diff())) / 2)
    first, last = (flow_time(*model.schedule(end)) for end in ends)
    # Where an end was moved, the noise there is that of the time asked for, scaled.
    noises = [model.schedule(times)[1] for times in (asked, ends)]
    begun, ended = torch.where(asked == ends, 1.0, noises[1] / noises[0])
    x = x if begun == 1 else begun * x
    known = {first: ends[0], last: ends[1]}

    def time_at(tau: float) -> Tensor:
        if tau in known:
            return known[tau]
        angle = torch.tensor(math.atan2(tau, 1 - tau), dtype=torch.float64)
        return model.schedule.time_at_angle(angle)

    def scale_at(tau: float) -> Tensor:
        alpha, sigma = model.schedule(time_at(tau))
        return alpha + sigma

    def slope(tau: float, z: Tensor) -> Tensor:
        with torch.no_grad():
            p = model(scale_at(tau) * unpack(z), time_at(tau), **cond)
        return _packed(p.eps - p.x0)[0]

    nearest = min(math.sqrt(rtol + atol) / 10, max(first, last) / 2)
    z, unpack = _packed((1 / scale_at(first)) * x)
    visited = []
    if first == 0:  # the slope at `nearest`, met at the point predicted from x0 = z and eps = 0
        visited.append((first, z))
        z = z + nearest * slope(nearest, (1 - nearest) * z)
    for step in dormand_prince(
        slope, z, first or nearest, last or nearest, rtol=rtol, atol=atol, max_steps=max_steps
    ):
        visited.append((step.time, step.y if keep else z))
    z = step.y
    if last == 0:
        z = z - nearest * step.slope
        visited.append((last, z))
    return Solution(
        x=(scale_at(last) / ended) * unpack(z),
        times=torch.stack([time_at(tau) for tau, _ in visited]),
        states=tuple(scale_at(tau) * unpack(y) for tau, y in visited) if keep else (),
        accepted=len(visited) - 1,
        rejected=step.rejected,
        evaluations=step.evaluations + (first == 0),
    )


def _packed(x: State) -> tuple[Tensor, Callable[[Tensor], State]]:
    """A state as one tensor, whose error is measured as a whole, and the way back."""
    if isinstance(x, Tensor):
        return x, lambda y: y
    shapes = {name: x[name].shape for name in x}

    def unpack(y: Tensor) -> Fields:
        parts = y.split([shape[1:].numel() for shape in shapes.values()], 1)
        return Fields({n: part.reshape(shapes[n]) for n, part in zip(shapes, parts, strict=True)})

    return torch.cat([x[name].flatten(1) for name in x], 1), unpack
