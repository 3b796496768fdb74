"""Null-text optimisation: nulls with which guided sampling gives back given data."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from demist.core import Conditioned, Model, Noise, Prediction, Schedule, solvable_grid
from demist.editing.invert import upwards
from demist.errors import UsageError
from demist.guidance import Cond, Null
from demist.samplers import Solver, TrajectoryPoint, trajectory

ITERATIONS, RATE = 10, 0.05
"""Steps of Adam for each step of the solver, and their size beside states of size 1."""

Offsets = Mapping[str, Tensor]
"""What is added to the null, `(B, L, D)`, by the key of its tensor; for prompts that the network
reads itself, by the key `NAME.offset`."""


def nothing_added(cond: Cond, specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    """Zeros for all that may be added to nulls of conditions of a batch.

    Args:
        cond: Encoded, of the batch.
        specs: Of the conditions, by name; see `demist.networks.conditioning`.

    Raises:
        UsageError: No condition is a prompt.
    """
    found: dict[str, Tensor] = {}
    for name, spec in specs.items():
        if spec["route"] != "tokens":
            continue
        keys = [key for key in (f"{name}.states", name) if key in cond]
        if keys:
            found[keys[0]] = torch.zeros_like(cond[keys[0]])
        else:
            tokens = cond[f"{name}.tokens"]
            found[f"{name}.offset"] = torch.zeros(
                *tokens.shape, spec["width"], device=tokens.device
            )
    if not found:
        raise UsageError(
            "null-text changes the tokens of the empty prompt, and this model has no prompt; "
            "invert with friendly or ddim"
        )
    return found


@dataclass(frozen=True)
class NullText:
    """A guided model, whose null is another one.

    Attributes:
        model: With a null, perhaps under further guidance.
        offsets: What is added to it, for each sample of a batch.
    """

    model: Model
    offsets: Offsets

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        added = {k: torch.zeros_like(v) for k, v in self.offsets.items() if k not in cond}
        return self._moved(x, t, **cond, **added)

    @cached_property
    def _moved(self) -> Model:
        def change(null: Null) -> Null:
            def moved(given: Cond) -> Cond:
                own = {k: v for k, v in given.items() if not k.endswith(".offset")}
                found = dict(null(own))
                found |= {k: found[k] + v if k in found else v for k, v in self.offsets.items()}
                return found

            return moved

        return with_null(self.model, change)


def with_null(model: Model, change: Callable[[Null], Null]) -> Model:
    """A guided model whose null is changed.

    Raises:
        UsageError: It has none.
    """
    found = _changed(model, lambda rule: replace(rule, null=change(rule.null)))
    if found is None:
        raise UsageError(
            "null-text changes the null of guidance, and here is none; give a guidance above 1, or "
            "invert with ddim"
        )
    return found


def unguided(model: Model) -> Model:
    """What a guided model guides."""
    found = _changed(model, lambda rule: rule.model)
    return model if found is None else found


def _changed(model: Any, change: Callable[[Any], Model]) -> Model | None:
    """A model, in which the rule that has a null is changed; None: there is none."""
    if not is_dataclass(model) or isinstance(model, type):
        return None
    if hasattr(model, "null"):
        return change(model)
    for field in fields(model):
        inner = getattr(model, field.name)
        found = _changed(inner, change) if isinstance(inner, Model) else None
        if found is not None:
            return cast(Model, replace(model, **{field.name: found}))
    return None


@dataclass(frozen=True)
class Nulls:
    """Start and nulls from which guided sampling leads to given data.

    Attributes:
        start: States at `grid[0]`, `(B, ...)`.
        offsets: For each step.
    """

    start: Tensor
    offsets: Sequence[Offsets]

    def rows(self, rows: list[int]) -> "Nulls":
        """Those of some samples."""
        taken = [{k: v[rows] for k, v in step.items()} for step in self.offsets]
        return Nulls(self.start[rows], taken)

    def trajectory(
        self,
        model: Model,
        x: Tensor,
        grid: Tensor,
        solver: Solver,
        noise: Noise,
        *,
        index: int = 0,
        memory: Any = None,
        **further: Any,
    ) -> Iterator[TrajectoryPoint]:
        """As `demist.samplers.trajectory`, with the null of each step."""
        for i in range(index, len(grid) - 1):
            there = {k: v.to(x.device) for k, v in self.offsets[i].items()}
            step = trajectory(
                NullText(model, there), x, grid[: i + 2], solver, noise, index=i, memory=memory,
                **further,
            )  # fmt: skip
            for point in step:
                x, memory = point.x, point.memory
                yield point


def null_text(
    model: Model,
    x: Tensor,
    grid: Tensor,
    solver: Solver,
    nothing: Offsets,
    *,
    iterations: int = ITERATIONS,
    rate: float = RATE,
    **cond: Any,
) -> Nulls:
    """Nulls with which the guided model leads back to `x`, step by step.

    The way up is that of the model without guidance, whose inversion is close. On the way down,
    guidance leads off; in each step Adam moves the empty prompt's tokens, of each sample by itself,
    such that the step ends near where the way up passed. The best null that was tried is kept, so
    that the step is never worse than with the null of the step before; the first of all begins at
    the model's own.

    Not exact: what the null cannot reach is left over, less with more iterations. It costs one
    evaluation per step on the way up, and `iterations` gradients on the way down.

    Args:
        model: A guided one, whose predictions are not clamped.
        x: Clean data, `(B, ...)`.
        grid: A decreasing grid.
        solver: Deterministic, one evaluation per step.
        nothing: See `nothing_added`.
        iterations: Steps of Adam for each step.
        rate: Their size, beside numbers of the tokens.
        cond: Conditions, handed to the model.

    Raises:
        UsageError: The model has no null.
        ValueError: The solver is stochastic.

    References:
        Mokady et al. 2022, "Null-text Inversion for Editing Real Images using Guided Diffusion
        Models", arXiv:2211.09794, section 3.2 and algorithm 1.
    """
    if solver.stochastic:
        raise ValueError(f"{solver.name} draws noise; null-text needs ddim or adams")
    with_null(model, lambda null: null)
    with torch.inference_mode(False), torch.no_grad():
        cond = {k: v.clone() if isinstance(v, Tensor) else v for k, v in cond.items()}
        grid, x = grid.clone(), x.clone()
        moved = solvable_grid(model, grid)
        way = [x, *upwards(Conditioned(unguided(model), cond), x, moved, solver)][::-1]
        start = way[0] * (model.schedule(grid[0])[1] / model.schedule(moved[0])[1])
        now, memory, kept = start, None, []
        offsets = {k: v.clone() for k, v in nothing.items()}
        for i, goal in enumerate(way[1:]):
            one = _Step(model, now, goal, grid[: i + 2], solver, i, memory, cond)
            offsets = one.improved(offsets, iterations, rate)
            kept.append(offsets)
            point = one(offsets)
            now, memory = point.x, point.memory
    return Nulls(start, kept)


@dataclass(frozen=True)
class _Step:
    """One step of sampling, and where it should lead."""

    model: Model
    x: Tensor
    goal: Tensor
    grid: Tensor
    solver: Solver
    index: int
    memory: Any
    cond: Mapping[str, Any]

    def __call__(self, offsets: Offsets, differentiable: bool = False) -> TrajectoryPoint:
        return next(
            trajectory(
                NullText(self.model, offsets), self.x, self.grid, self.solver, index=self.index,
                memory=self.memory, differentiable=differentiable, **self.cond,
            )
        )  # fmt: skip

    def improved(self, offsets: Offsets, iterations: int, rate: float) -> dict[str, Tensor]:
        """The best of what Adam tries from `offsets` on, sample by sample."""
        with torch.enable_grad():
            moving = {k: v.clone().requires_grad_() for k, v in offsets.items()}
            adam = torch.optim.Adam(moving.values(), lr=rate)
            best = {k: v.clone() for k, v in offsets.items()}
            least = torch.full((len(self.x),), torch.inf, device=self.x.device)
            for i in range(iterations + 1):
                off = (self(moving, i < iterations).x - self.goal).square().flatten(1).mean(1)
                better = off.detach() < least
                least = torch.where(better, off.detach(), least)
                for k, v in moving.items():
                    best[k] = torch.where(better[:, None, None], v.detach(), best[k])
                if i < iterations:
                    gradients = torch.autograd.grad(off.sum(), list(moving.values()))
                    for v, gradient in zip(moving.values(), gradients, strict=True):
                        v.grad = gradient
                    adam.step()
        return best
