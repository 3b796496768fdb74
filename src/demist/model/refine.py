"""A refiner: a second model takes the last steps, on the states that the first one leaves."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from demist.conditions import Conditioner
from demist.errors import UsageError
from demist.model import components
from demist.model import folder as model_folder
from demist.model.feeders import alone
from demist.model.keywords import number
from demist.model.plan import Plan

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


@dataclass(frozen=True)
class Refinement:
    """Who takes the last steps, and from when on.

    References:
        Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.5; Balaji et al. 2022, "eDiff-I",
        arXiv:2211.01324 (an expert for each part of the noise).

    Attributes:
        pipeline: The second model.
        start: Time from which on it takes the steps, between 0 and 1.
        only: Names of the conditions that the first model does not have.
    """

    pipeline: "Pipeline"
    start: float
    only: tuple[str, ...] = ()

    def taken_from(self, pipeline: "Pipeline") -> "Pipeline":
        """The first model by itself."""
        known = pipeline.conditioner.conditions
        fed = {name for feeder in pipeline.feeders.values() for name in feeder.only}
        only = set(self.only) - fed
        own = Conditioner({name: c for name, c in known.items() if name not in only})
        return replace(pipeline, refinement=None, conditioner=own)

    def sized(self, size: tuple[int, int]) -> "Refinement":
        """For images of another height and width."""
        return replace(self, pipeline=self.pipeline.sized(size))


def refined(pipeline: "Pipeline", refiner: "Pipeline", start: float) -> "Pipeline":
    """See `Pipeline.refined`."""
    start = number("start", start, "0.2")
    if not 0 < start < 1:
        raise UsageError(
            f"start = {start:g}: a refiner takes over at a time between 0 (data) and 1 (noise), "
            f"such as 0.2"
        )
    if () not in (pipeline.shape[1:], refiner.shape[1:]) and refiner.shape != pipeline.shape:
        _, height, width = pipeline.shape
        refiner = refiner.sized((height, width))
    if refiner.state_shape != pipeline.state_shape:
        raise UsageError(
            f"the refiner's states have shape {refiner.state_shape}, this model's "
            f"{pipeline.state_shape}; give a refiner for the same latents"
        )
    for what, of in (("schedule", _schedule), ("codec", _codec)):
        if of(refiner) != of(pipeline):
            raise UsageError(
                f"the refiner has another {what} than this model, so that the states it is given "
                f"mean something else to it; give a refiner with the same {what}"
            )
    known, its = pipeline.conditioner.conditions, refiner.conditioner.conditions
    own = alone(pipeline).conditioner.conditions
    only = tuple(name for name in its if name not in own)
    both = Conditioner({**known, **{k: c for k, c in its.items() if k not in known}})
    return replace(pipeline, conditioner=both, refinement=Refinement(refiner, start, only))


def joined(first: Plan, second: Plan, start: float) -> Plan:
    """The plan whose steps from `start` down are those of `second`, along the grid of `first`.

    Raises:
        UsageError: There is no such step.
    """
    until = int((first.grid <= start).nonzero()[0])
    if until == first.steps:
        earliest = math.ceil(1000 * float(first.grid[-2])) / 1000
        raise UsageError(
            f"none of the {first.steps} steps begins at the time {start:g} or below, so there is "
            f"nothing to refine; take over earlier, at {earliest:g}, or take more steps"
        )
    later = replace(second, grid=first.grid, solver=first.solver, sampling=first.sampling)
    return replace(first, then=later, until=until)


def _schedule(pipeline: "Pipeline") -> Any:
    return model_folder.to_json(pipeline.denoiser.schedule)


def _codec(pipeline: "Pipeline") -> Any:
    """A codec without its weights: decoders differ where latents do not."""
    return components.codec_json(pipeline.codec, model_folder.to_json)
