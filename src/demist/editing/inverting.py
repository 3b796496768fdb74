"""From images to the plan that gives them back, and from there to other images."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.core import Model, Noise, unclamped
from demist.core.solvable import denoisers
from demist.editing.direct import Missing, OfSource, missing_steps
from demist.editing.edit_friendly import NoiseMaps, noise_maps
from demist.editing.invert import invert, undo
from demist.editing.null_text import Nulls, nothing_added, null_text
from demist.errors import UsageError
from demist.guidance import Cond
from demist.model import Plan
from demist.samplers import Solver, TrajectoryPoint

INVERSIONS = ("friendly", "direct", "ddim", "fixed-point", "null-text")


@torch.no_grad()
def inverted(plan: Plan, data: np.ndarray | Tensor, how: str = "friendly") -> Plan:
    """The plan that gives these data back, step by step as `plan` would sample.

    | how | back | costs | what it asks for |
    |---|---|---|---|
    | `friendly` | to rounding, with any guidance | one evaluation per step | a stochastic solver |
    | `direct` | to rounding, with any guidance | two evaluations per step | the ODE |
    | `ddim` | at the solver's order, best with guidance 1 | one evaluation per step | the ODE |
    | `fixed-point` | to 1e-3, with the clamp | four evaluations per step | `ddim`, many steps |
    | `null-text` | nearer than `ddim`, with guidance | 10 gradients per step | the ODE, a prompt |

    "Back" is to the states: what a codec loses is lost. Models that clamp what they predict are
    run without their clamp by `ddim` and `null-text`, in both directions; see `unclamped`.

    Args:
        plan: Its conditions describe the data, sample by sample; its solver is stochastic
            (`ddim:eta=1`) for `friendly`, else deterministic.
        data: `(n, ...)` or `(1, ...)`, one for each sample of the plan: an array is data, a tensor
            are states.
        how: One of `INVERSIONS`.

    Returns:
        The same plan with another start, noise, clamp or null. `followed` lets another plan begin
        there.

    Raises:
        UsageError: The solver does not fit, or the plan has stages that would have to be inverted.
    """
    if how not in INVERSIONS:
        raise UsageError(f"there is no inversion {how!r}; there are {', '.join(INVERSIONS)}")
    if plan.feeds or plan.then is not None:
        raise UsageError(
            "a model of several stages is not inverted as a whole; take one of them alone"
        )
    try:
        return _HOW[how](replace(plan, init=states(plan, data), constrain=None))
    except ValueError as error:
        raise UsageError(str(error)) from None


def states(plan: Plan, data: np.ndarray | Tensor) -> Tensor:
    """Data (an array) as states of a plan, on its device; states (a tensor) as they are.

    Raises:
        UsageError: They are not of its shape and number.
    """
    x = data if isinstance(data, Tensor) else plan.pipeline.encode(data)
    x = x.to(plan.pipeline.device).float()
    if len(x) not in (1, plan.n) or x.shape[1:] != plan.pipeline.state_shape:
        raise UsageError(
            f"data of shape {tuple(data.shape)} for {plan.n} samples of {plan.pipeline.shape}; "
            f"give one for each"
        )
    return x


def followed(first: Plan, plan: Plan) -> Plan:
    """`plan` from the start of an inverted plan, with its noise or nulls, and clamped as it is.

    What `direct` adds to the source is not added here: it belongs to that image.

    Raises:
        UsageError: The two are not of the same times and numbers of samples.
    """
    if plan.n != first.n or not torch.equal(plan.grid, first.grid):
        raise UsageError("what follows an inversion has the same samples, solver, steps and start")
    free = all(denoiser.bounds is None for denoiser in denoisers(first.model))
    model = unclamped(plan.model) if free else plan.model
    walk = None if isinstance(first.walk, OfSource) else first.walk
    return replace(plan, init=first.init, walk=walk, solver=first.solver, model=model)


def _friendly(plan: Plan) -> Plan:
    def work(
        model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, cond: Cond
    ) -> Any:
        return noise_maps(model, x, grid, solver, noise, **cond)

    found = _worked(plan, work)
    kept = NoiseMaps(
        torch.cat([maps.start for maps in found]),
        torch.cat([maps.maps for maps in found], 1),
        torch.cat([maps.rest for maps in found]),
    )
    return replace(plan, init=kept.start, walk=lambda rows: kept.rows(list(rows)).trajectory)


def _direct(plan: Plan) -> Plan:
    def work(
        model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, cond: Cond
    ) -> Any:
        return missing_steps(model, x, grid, solver, **cond)

    found = _worked(plan, work)
    steps = torch.cat([way.missing for way in found], 1)
    kept = Missing(torch.cat([way.start for way in found]), steps)
    return replace(plan, init=kept.start, walk=OfSource(kept))


def _ddim(plan: Plan) -> Plan:
    plan = replace(plan, model=unclamped(plan.model))

    def work(
        model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, cond: Cond
    ) -> Any:
        return NoiseMaps(invert(model, x, grid, solver, **cond), x[None], x)

    return replace(plan, init=torch.cat([maps.start for maps in _worked(plan, work)]))


def _fixed_point(plan: Plan) -> Plan:
    def work(
        model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, cond: Cond
    ) -> Any:
        return NoiseMaps(undo(model, x, grid, solver, **cond), x[None], x)

    return replace(plan, init=torch.cat([maps.start for maps in _worked(plan, work)]))


def _null_text(plan: Plan) -> Plan:
    plan = replace(plan, model=unclamped(plan.model))
    specs = plan.pipeline.conditioner.specs()

    def work(
        model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, cond: Cond
    ) -> Any:
        return null_text(model, x, grid, solver, nothing_added(cond, specs), **cond)

    found = _worked(plan, work)
    steps = zip(*(nulls.offsets for nulls in found), strict=True)
    offsets = [{k: torch.cat([part[k] for part in step]) for k in step[0]} for step in steps]
    kept = Nulls(torch.cat([nulls.start for nulls in found]), offsets)
    return replace(plan, init=kept.start, walk=lambda rows: kept.rows(list(rows)).trajectory)


def _worked(plan: Plan, work: Callable[..., Any]) -> list[Any]:
    """What `work` makes of each batch; rows that only fill a bucket are left out."""

    def walk(
        model: Model, x: Tensor, grid: Tensor, solver: Solver, noise: Noise, *,
        constrain: object, index: int, memory: object, **cond: Any,
    ) -> Iterator[TrajectoryPoint]:  # fmt: skip
        made = work(model, x, grid, solver, noise, cond)
        yield TrajectoryPoint(len(grid) - 1, grid[-1], x, made)

    found = []
    for rows in plan.batches():
        *_, point = replace(plan, walk=lambda rows: walk).states(rows)
        found.append(point.memory.rows(list(range(len(point.x)))))
    return found


_HOW = {
    "friendly": _friendly,
    "direct": _direct,
    "ddim": _ddim,
    "fixed-point": _fixed_point,
    "null-text": _null_text,
}
