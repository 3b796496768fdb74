"""From what is asked for to a plan: every choice is made here, and nothing is sampled."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from demist.core import Schedule, solvable_grid
from demist.errors import UsageError
from demist.model.best_of import require_draws
from demist.model.controlled import say_what_is_missing
from demist.model.feeders import alone, feeders_lead, feeds_of, with_feeds
from demist.model.fits import Fits, fitted_way, settled
from demist.model.guided import guided, negative_for
from demist.model.keywords import by_name, require_known, whole
from demist.model.plan import Constrain, Guide, Init, Plan
from demist.model.published import Way, published_way, usual_shift
from demist.model.refine import Refinement, joined
from demist.model.sampling import FIELDS, STANDARD, TAKEN, Sampling
from demist.model.values import GUIDANCE
from demist.samplers import checked_grid, make_grid, make_solver
from demist.samplers.grids import CLOSE

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


def make_plan(
    pipeline: "Pipeline",
    n: int,
    sampling: Sampling,
    cond: Mapping[str, Any],
    *,
    negative: Mapping[str, Any] | None = None,
    weak: "Pipeline | None" = None,
    guide: Guide | None = None,
    init: Init | None = None,
    constrain: Constrain | None = None,
    fed: Collection[str] = (),
) -> Plan:
    """See `Pipeline.plan`; the conditions `fed` are given to the plan later."""
    n = whole("n", n)
    if n < 1:
        raise UsageError(f"cannot make {n} samples; ask for at least 1")
    require_known(cond, pipeline.conditioner, (*FIELDS, *TAKEN))
    negative = None if negative is None else by_name("negative", negative)
    if pipeline.feeders or sampling.stages:
        return _fed(
            pipeline, n, sampling, cond, negative or {}, weak=weak, guide=guide, init=init,
            constrain=constrain,
        )  # fmt: skip
    _require_noisy(pipeline, sampling.condition_noise)
    if pipeline.refinement is not None:
        return _refined(
            pipeline, pipeline.refinement, n, sampling, cond, negative or {}, weak=weak,
            guide=guide, init=init, constrain=constrain, fed=fed,
        )  # fmt: skip
    say_what_is_missing(pipeline, cond)
    roomy = pipeline.conditioner.holding(cond, negative or {})
    if roomy is not pipeline.conditioner:
        pipeline = replace(pipeline, conditioner=roomy)
    full = settled(pipeline, sampling.over(pipeline.defaults).over(STANDARD))
    if not isinstance(full.seed, int | None) and len(full.seed) != n:
        raise UsageError(f"got {len(full.seed)} seeds for {n} samples; give one for all, or {n}")
    require_draws(pipeline, full)
    cond, full, guiding = _with_told_guidance(pipeline, cond, sampling, full, negative)
    way = published_way(pipeline, full) or fitted_way(pipeline, full) or _own_way(pipeline, full)
    seen = way.seen(pipeline)
    dim = None if weak is None else way.seen(weak)
    told = {**cond, **dict.fromkeys(fed, True)}
    model = way.kept(guided(seen, guiding, told, negative=negative, weak=dim, guide=guide))
    grid = solvable_grid(model, solvable_grid(seen.denoiser, way.times))
    plan = Plan(
        pipeline, n, way.taken, model, way.solver, grid,
        _encoded(pipeline, n, cond, fed), _checked_init(pipeline, init, n, sampling, full),
        constrain, weak, scale=way.scale,
    )  # fmt: skip
    return replace(plan, cond=plan.shown(plan.cond, range(n)))


def _encoded(
    pipeline: "Pipeline", n: int, cond: Mapping[str, Any], fed: Collection[str]
) -> dict[str, Tensor]:
    """Encoded conditions; those not given are null, those that are `fed` are left out."""
    conditioner = pipeline.conditioner
    conditioner.require(cond)
    given = {name: cond.get(name) for name in conditioner.conditions if name not in fed}
    return conditioner.encode_only(n, given)


def _is_noisy(pipeline: "Pipeline") -> bool:
    return any(c.in_pixels.noisy for c in pipeline.conditioner.conditions.values())


def _require_noisy(pipeline: "Pipeline", level: float | None) -> None:
    """Raise UsageError if noise is asked for that no condition can be given."""
    if level and not _is_noisy(pipeline):
        raise UsageError(
            f"condition_noise = {level:g}: this model has no condition low-resolution, whose image "
            f"could be given noise; leave it out"
        )


def _fed(
    pipeline: "Pipeline",
    n: int,
    sampling: Sampling,
    cond: Mapping[str, Any],
    negative: Mapping[str, Any],
    *,
    weak: "Pipeline | None",
    guide: Guide | None,
    init: Init | None,
    constrain: Constrain | None,
) -> Plan:
    """The plan of a model whose conditions are made by others, where they are not given."""
    pipeline.conditioner.require(negative)
    feeds = feeds_of(pipeline, n, sampling, cond, negative)
    own = alone(pipeline)
    known = own.conditioner.conditions
    given, away = ({k: v for k, v in d.items() if k in known} for d in (cond, negative))
    over = sampling.over(pipeline.defaults)
    # A prompt to lead away from may be for an earlier stage, which has guidance, alone.
    led = negative_for(over, away) if feeds and feeders_lead(pipeline, over) else away
    plan = make_plan(
        own, n, replace(sampling, stages=None), given, negative=led or None, weak=weak,
        guide=guide, init=init, constrain=constrain, fed=tuple(feeds),
    )  # fmt: skip
    return with_feeds(plan, feeds, over)


def _refined(
    pipeline: "Pipeline",
    refinement: Refinement,
    n: int,
    sampling: Sampling,
    cond: Mapping[str, Any],
    negative: Mapping[str, Any],
    *,
    weak: "Pipeline | None",
    guide: Guide | None,
    init: Init | None,
    constrain: Constrain | None,
    fed: Collection[str],
) -> Plan:
    """The plan of a model and its refiner; each is given the conditions that it has."""
    pipeline.conditioner.require(negative)
    plans: list[Plan] = []
    for model in (refinement.taken_from(pipeline), refinement.pipeline):
        known = model.conditioner.conditions
        given, away = ({k: v for k, v in d.items() if k in known} for d in (cond, negative))
        how: dict[str, Any] = {"negative": away or None, "guide": guide, "constrain": constrain}
        how["fed"] = [name for name in fed if name in known]
        model = replace(model, fits=Fits())  # a fit is of one model, and one walk has two here
        if not _is_noisy(model):
            sampling = replace(sampling, condition_noise=None)
        if plans:
            sampling = replace(sampling, start=None)  # it begins where the first model stops
            plans.append(make_plan(model, n, sampling, given, **how))
        else:
            plans.append(make_plan(model, n, sampling, given, **how, weak=weak, init=init))
    first, second = plans
    return joined(first, second, refinement.start) if first.steps else first


def _with_told_guidance(
    pipeline: "Pipeline",
    cond: Mapping[str, Any],
    sampling: Sampling,
    full: Sampling,
    negative: Mapping[str, Any] | None,
) -> tuple[Mapping[str, Any], Sampling, Sampling]:
    """Conditions, the recipe, and the recipe by which the model is guided.

    A network that was distilled with a guidance scale is told it, and not guided any further. Who
    gives the condition itself may guide it as well.
    """
    name = pipeline.conditioner.called(GUIDANCE)
    if name is None:
        return cond, full, full
    unguided = replace(full, guidance=1.0)
    if cond.get(name) is not None:
        kept = full if sampling.guidance is not None else unguided
        return cond, kept, kept
    if any(value is not None for value in (negative or {}).values()):
        raise UsageError(
            f"negative: this model is told its guidance and leads away from nothing; leave it out, "
            f"or give the condition {name}, such as {full.guidance:g}, and a guidance besides"
        )
    return {**cond, name: full.guidance}, full, unguided


def _own_way(pipeline: "Pipeline", full: Sampling) -> Way:
    """With a solver and a grid of ours."""
    assert full.solver is not None
    solver = make_solver(full.solver)
    shift = 1.0 if full.grid is not None else usual_shift(pipeline)
    times = _times(full, solver.grid, pipeline.denoiser.schedule, shift)
    return Way(solver, times, _as_taken(full, times))


def _times(full: Sampling, suits: str, schedule: Schedule, shift: float = 1.0) -> Tensor:
    """The grid that is asked for, from `full.start` down.

    Args:
        full: The complete recipe.
        suits: The grid where it names none.
        schedule: The model's.
        shift: Times of named grids are moved by it, as those of the grid `shifted` are.
    """
    start, spec = full.start, full.grid
    assert start is not None
    assert full.steps is not None
    first = torch.tensor([start], dtype=torch.float64)
    if start == 0:
        return first
    if spec is None or isinstance(spec, str):
        low = start if shift == 1 else start / (start + shift * (1 - start))
        u = make_grid(spec or suits, full.steps, schedule, low)
        grid = torch.where(u == low, start, shift * u / (1 + (shift - 1) * u))
    else:
        grid = torch.tensor(spec, dtype=torch.float64)
    # Times that were typed may begin above the start.
    below = (grid < start * (1 - CLOSE)).nonzero().flatten()
    grid = grid if start == 1 or not len(below) else torch.cat([first, grid[int(below[0]) :]])
    try:
        return checked_grid(grid)
    except ValueError as error:
        raise UsageError(f"grid {spec or suits!r}: {error}") from None


def _as_taken(full: Sampling, grid: Tensor) -> Sampling:
    """The recipe with the number of steps that `grid` takes."""
    taken = max(1, len(grid) - 1)
    if taken != full.steps and full.typed_steps is None and full.start:
        # A named grid with fewer steps than asked for: said by its times, which give it again.
        return replace(full, steps=taken, grid=tuple(grid.tolist()))
    return replace(full, steps=taken)


def _checked_init(
    pipeline: "Pipeline", init: Init | None, n: int, sampling: Sampling, full: Sampling
) -> Init | None:
    """`init` with a batch axis."""
    if init is None:
        if full.start != 1:
            raise UsageError(
                f"start = {full.start:g} is not pure noise, so sampling needs something to start "
                f"from: give init, or leave start out"
            )
        return None
    if not isinstance(init, Tensor | np.ndarray):
        raise UsageError(
            f"init is a {type(init).__name__}; give data as an array, such as "
            f"np.asarray(image), or a state as a tensor"
        )
    is_state = isinstance(init, Tensor)
    if not is_state and sampling.start is None and full.start == 1:
        raise UsageError(
            "at start = 1 all is noise, and nothing would be left of init; give start, such as 0.6"
        )
    shape, what = (pipeline.state_shape, "state") if is_state else (pipeline.shape, "sample")
    init = init[None] if init.shape == shape else init
    if init.shape[1:] != shape or len(init) not in (1, n):
        raise UsageError(
            f"init has shape {tuple(init.shape)}; give one {what} of shape {shape} for all, or {n}"
        )
    return init if isinstance(init, Tensor) else _as_data(pipeline, init)


def _as_data(pipeline: "Pipeline", x: np.ndarray) -> np.ndarray:
    """`x` in the type of the model's data."""
    device = pipeline.device
    kind = pipeline.decode(torch.zeros(1, *pipeline.state_shape, device=device)).dtype
    if not np.can_cast(x.dtype, kind, "same_kind"):
        raise UsageError(
            f"init holds numbers of type {x.dtype}, but this model's data is {kind}; images are "
            f"bytes from 0 to 255"
        )
    return x.astype(kind, copy=False)
