"""Sampling as the maker of a model does it: `solver="published"`, `grid="published"`.

With the solver everything is theirs: the times, what the network is told of them, how predictions
are clipped, and the scale of the noise at the start. With the grid alone the times and what the
network is told of them are theirs, and a solver of ours takes the steps.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from torch import Tensor

from demist.core import Clock, Linear, Model
from demist.errors import UsageError
from demist.interop import PublishedSampler, published_sampler, published_shift
from demist.model.sampling import Sampling
from demist.parts import parse, unknown
from demist.samplers import Solver, checked_grid, make_solver
from demist.samplers.grids import CLOSE
from demist.samplers.published import UNBOUNDED, Kept, Range

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

NAME = "published"


@dataclass(frozen=True)
class Way:
    """How a plan goes from noise to data.

    Attributes:
        solver: Takes the steps.
        times: The grid, float64.
        taken: The recipe that leads here again.
        clock: What the network is told of the times; None: as always.
        range: Within which predictions are kept after guidance, in place of the denoiser's own
            bounds; None: those.
        scale: Standard deviation of the start in pure noise; None: the schedule's sigma there.
    """

    solver: Solver
    times: Tensor
    taken: Sampling
    clock: Clock | None = None
    range: Range | None = None
    scale: float | None = None

    def seen(self, pipeline: "Pipeline") -> "Pipeline":
        """The pipeline, its network told of the times as this way wants it."""
        if self.clock is None and self.range is None:
            return pipeline
        denoiser = pipeline.denoiser
        bounds = denoiser.bounds if self.range is None else None
        return replace(pipeline, denoiser=denoiser.seeing(self.clock or denoiser.clock, bounds))

    def kept(self, model: Model) -> Model:
        """The guided model, its predictions kept in the range."""
        return model if self.range in (None, UNBOUNDED) else Kept(model, self.range or UNBOUNDED)


def published_way(pipeline: "Pipeline", full: Sampling) -> Way | None:
    """The way that the maker of the model describes; None: it is not asked for.

    Args:
        pipeline: The model.
        full: The complete recipe.

    Raises:
        UsageError: The model comes without a description, or an option does not go with it.
        DataError: The description is of a kind that is not known.
    """
    assert full.solver is not None
    assert full.start is not None
    name, options = parse(full.solver)
    if name != NAME and full.grid != NAME:
        return None
    if name == NAME and full.grid not in (None, NAME):
        raise UsageError(
            f"grid {full.grid!r}: the solver 'published' goes with its own times; leave the grid "
            f"out, or choose another solver"
        )
    sampler = _described(pipeline, full, options if name == NAME else {})
    try:
        times, start = checked_grid(sampler.times), full.start
    except ValueError as error:
        raise UsageError(f"the published times of {full.steps} steps: {error}") from None
    times = times[times <= start * (1 + CLOSE)]
    if len(times) < 2 and start > 0:
        raise UsageError(
            f"start = {start:g}: the published times begin below it only at 0; give a later start, "
            f"or more steps"
        )
    if name != NAME:
        return Way(make_solver(full.solver), times, full, sampler.clock)
    return Way(sampler.solver, times, full, sampler.clock, sampler.range, sampler.scale)


def usual_shift(pipeline: "Pipeline") -> float:
    """By what the maker of a flow model multiplies noise levels at this size; 1 for other models.

    The larger an image, the more noise it takes to hide what it shows.

    References:
        Esser et al. 2024, arXiv:2403.03206, section 5.3.2.
    """
    origin = pipeline.origin
    if origin is None or not isinstance(pipeline.denoiser.schedule, Linear):
        return 1.0
    where = origin.where("scheduler/scheduler_config.json")
    return published_shift(origin.scheduler(), _tokens(pipeline), where)


def _tokens(pipeline: "Pipeline") -> int:
    """How many tokens a transformer makes of a state."""
    side = int(getattr(pipeline.denoiser.net, "multiple", 1))
    _, height, width = (*pipeline.state_shape, 1, 1)[:3]
    return (height // side) * (width // side)


def _described(pipeline: "Pipeline", full: Sampling, options: dict[str, str]) -> PublishedSampler:
    """The sampler of the model's own `scheduler_config.json`."""
    origin = pipeline.origin
    if origin is None:
        raise UsageError(
            "'published' is the sampler of a model from elsewhere, in its scheduler_config.json; "
            "this model was trained here and has none: leave it out, or choose a solver"
        )
    config = origin.scheduler()
    if extra := [key for key in options if key != "eta"]:
        raise UsageError(unknown("option of solver published", extra[0], ["eta"]))
    if options and config.get("_class_name") != "DDIMScheduler":
        raise UsageError(
            f"solver {full.solver!r}: eta belongs to DDIM, and this model comes with a "
            f"{config.get('_class_name')}; leave it out"
        )
    try:
        eta = float(options.get("eta", "0"))
    except ValueError:
        raise UsageError(f"solver {full.solver!r}: eta is a number, such as 0.5") from None
    if not 0 <= eta <= 1:
        raise UsageError(f"solver {full.solver!r}: eta is from 0 to 1")
    maker = str(pipeline.facts.get("maker", ""))
    asked = {
        "schedule": pipeline.denoiser.schedule,
        "n": full.steps,
        "eta": eta,
        "tokens": _tokens(pipeline),
        "maker": maker,
        "learned": pipeline.denoiser.learn_variance,
    }
    return published_sampler(config, asked, origin.where("scheduler/scheduler_config.json"))
