"""Cascades: a model that carries the models which make its conditions.

A model that makes small images large needs small images, a decoder needs the vectors of images. The
model that makes such a condition is a *stage* before this one and is called its *feeder*:

    cascade = large.fed("low_resolution", small, name="base")
    cascade.sample(16, text="a red seven", stages={"base": {"steps": 30, "guidance": 4}})

A feeder is asked where the caller does not give its condition. It has its own defaults, is given
what is asked for as far as it has such conditions, and may itself have feeders, to any depth. Each
stage has noise of its own, for the joint distribution of what all make is that of the data only
if their noises are independent: the seed of a stage is a hash of the sample's seed and the stage's
name (`stage_seed`). So sample i depends, in every stage, on the seed and i alone.

A refiner (`demist.model.refine`) is kept beside them in the same way.

Of a saved model they are whole models in sub-folders, listed in the index with the sum of theirs:

```
model_index.json                "_demist_stages": {"base": {"feeds": "low_resolution"},
                                                   "refiner": {"from": 0.2}}
stages/base/model_index.json    a model, perhaps with stages of its own
stages/refiner/...
```
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from demist.conditions import Conditioner, ImageVector
from demist.errors import UsageError
from demist.model import folder
from demist.model.components import hash_of
from demist.model.guided import negative_for
from demist.model.plan import LAST, REFINER, Frame, Plan
from demist.model.sampling import Sampling
from demist.model.values import VECTORS

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

NAME = re.compile(r"[A-Za-z0-9][\w-]{0,63}", re.ASCII)
"""How stages may be called, as they are folders."""


@dataclass(frozen=True)
class Feeder:
    """A model that makes a condition of another.

    Attributes:
        name: Of the stage, unique in all of a cascade.
        pipeline: The model.
        only: Names of the conditions that the fed model itself does not have.
    """

    name: str
    pipeline: "Pipeline"
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feed:
    """The samples of a feeder, as they are needed.

    Attributes:
        name: Of the stage.
        plan: How its samples are made.
    """

    name: str
    plan: Plan
    _kept: dict[tuple[int, ...], np.ndarray] = field(default_factory=dict, repr=False)

    def __call__(self, rows: Sequence[int]) -> np.ndarray:
        """The samples of some rows; those that were asked for last are kept."""
        wanted = tuple(rows)
        if wanted not in self._kept:
            made = self.plan.sample(rows)
            self._kept.clear()
            self._kept[wanted] = made
        return self._kept[wanted]

    def frames(self, rows: Sequence[int]) -> Iterator[Frame]:
        """The states of all stages up to this one, for a film."""
        for frame in self.plan.film(rows):
            yield frame
        self._kept.clear()
        self._kept[tuple(rows)] = frame.x


def fed(pipeline: "Pipeline", condition: str, feeder: "Pipeline", name: str) -> "Pipeline":
    """See `Pipeline.fed`."""
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in (REFINER, LAST):
        raise UsageError(
            f"a stage cannot be called {name!r}; choose letters, digits, - and _, and neither "
            f"{REFINER!r} nor {LAST!r}"
        )
    bare = alone(pipeline)
    bare.conditioner.require([condition])
    if condition in pipeline.feeders:
        raise UsageError(
            f"the condition {condition} has a feeder already, {pipeline.feeders[condition].name}; "
            f"a condition is made by one model"
        )
    taken = {*stages_of(pipeline)} & {name, *stages_of(feeder)}
    if taken or name in stages_of(feeder):
        raise UsageError(
            f"two stages are called {min(taken or {name})!r}; give each a name of its own"
        )
    _require_fit(bare, condition, feeder)
    known, its = pipeline.conditioner.conditions, feeder.conditioner.conditions
    only = tuple(one for one in its if one not in bare.conditioner.conditions)
    both = Conditioner({**known, **{one: its[one] for one in only if one not in known}})
    feeders = {**pipeline.feeders, condition: Feeder(name, feeder, only)}
    return replace(pipeline, conditioner=both, feeders=feeders)


def _require_fit(pipeline: "Pipeline", condition: str, feeder: "Pipeline") -> None:
    """Raise UsageError unless a model's samples are what a condition of another takes."""
    state = torch.zeros(1, *feeder.state_shape, device=feeder.device)
    kind = feeder.decode(state).dtype
    try:
        value = np.zeros((1, *feeder.shape), kind)
        pipeline.conditioner.encode_only(1, {condition: value})
    except UsageError as error:
        shape = " x ".join(map(str, feeder.shape))
        raise UsageError(
            f"a model of samples of {shape} does not feed the condition {condition}: {error}"
        ) from None
    known, seen = feeder.facts.get(VECTORS), pipeline.conditioner.conditions[condition]
    if known and isinstance(seen, ImageVector) and known != hash_of(seen.saved_networks):
        raise UsageError(
            f"this prior makes the vectors of another CLIP (weights {str(known)[:12]}) than the "
            f"one that the condition {condition} has; train it with the same --image-encoder"
        )


def alone(pipeline: "Pipeline") -> "Pipeline":
    """The model without its feeders, and without the conditions that only they have."""
    if not pipeline.feeders:
        return pipeline
    refinement = pipeline.refinement
    only = {name for feeder in pipeline.feeders.values() for name in feeder.only}
    only -= set(refinement.pipeline.conditioner.conditions if refinement else ())
    known = pipeline.conditioner.conditions
    own = Conditioner({name: c for name, c in known.items() if name not in only})
    return replace(pipeline, feeders={}, conditioner=own)


def bare(pipeline: "Pipeline") -> "Pipeline":
    """The model without feeders and without a refiner."""
    own = alone(pipeline)
    return own if own.refinement is None else own.refinement.taken_from(own)


def identity(pipeline: "Pipeline") -> dict[str, Any]:
    """Weights and facts of a model, of its refiner and of the stages before it, as JSON values."""
    second, stages = pipeline.refinement, stages_of(pipeline)
    refiner = second and {"refiner": {**identity(second.pipeline), "start": second.start}}
    earlier = {"stages": {name: identity(alone(stage)) for name, stage in stages.items()}}
    own = {"sha256": folder.weights_hash(bare(pipeline)), **pipeline.facts}
    return {**own, **(refiner or {}), **(earlier if stages else {})}


def like(pipeline: "Pipeline", other: "Pipeline") -> "Pipeline":
    """A model by itself, with the feeders and the refiner of another one."""
    for condition, feeder in other.feeders.items():
        pipeline = fed(pipeline, condition, feeder.pipeline, feeder.name)
    second = other.refinement
    return pipeline if second is None else pipeline.refined(second.pipeline, second.start)


def stages_of(pipeline: "Pipeline") -> dict[str, "Pipeline"]:
    """The feeders below a model by name, in the order in which they are sampled."""
    found: dict[str, Pipeline] = {}
    for feeder in pipeline.feeders.values():
        found |= {**stages_of(feeder.pipeline), feeder.name: feeder.pipeline}
    return found


def sized(pipeline: "Pipeline", conditioner: Conditioner) -> dict[str, Feeder]:
    """The feeders of a model whose conditions are for images of another size now."""
    found: dict[str, Feeder] = {}
    for name, feeder in pipeline.feeders.items():
        shape = getattr(conditioner.conditions[name], "shape", None)
        model = feeder.pipeline.sized(shape[1:]) if shape is not None else feeder.pipeline
        found[name] = replace(feeder, pipeline=model)
    return found


def stage_seed(seed: int, name: str) -> int:
    """The seed of a stage: hashed, so that its noise is independent of that of other stages."""
    digest = hashlib.blake2b(f"{seed}/stage/{name}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def feeds_of(
    pipeline: "Pipeline",
    n: int,
    sampling: Sampling,
    cond: Mapping[str, Any],
    negative: Mapping[str, Any],
) -> dict[str, Feed]:
    """What the feeders of a model make, by condition: of those conditions that are not given.

    Args:
        pipeline: The model.
        n: How many samples.
        sampling: How the model is sampled, over its defaults.
        cond: What is asked for.
        negative: What guidance leads away from, in the stages that have guidance.

    Raises:
        UsageError: A stage is named that there is not, or that is not run.
    """
    named = sampling.stages or {}
    known = stages_of(pipeline)
    for name in named.keys() - known.keys():
        has = ", ".join(known) or "none before the last"
        raise UsageError(f"this model has no stage {name!r}; its stages: {has}")
    over = sampling.over(pipeline.defaults)
    all_stages, feeds = over.stages or {}, dict[str, Feed]()
    for condition, feeder in pipeline.feeders.items():
        model, below = feeder.pipeline, stages_of(feeder.pipeline)
        if condition in cond:
            for name in named.keys() & {feeder.name, *below}:
                raise UsageError(
                    f"the stage {name!r} is not run, for {condition} is given; leave one of them "
                    f"out"
                )
            continue
        how = all_stages.get(feeder.name, Sampling())
        how = how.over(Sampling(seed=_seeds(over.seed or 0, feeder.name)))
        inner = {name: all_stages[name] for name in below if name in all_stages}
        how = replace(how, stages=inner or None)
        its = model.conditioner.conditions
        given = {name: value for name, value in cond.items() if name in its}
        away = {name: value for name, value in negative.items() if name in its}
        led = away if away and leads(model, how) else None
        feeds[condition] = Feed(feeder.name, model.plan(n, how, negative=led, **given))
    return feeds


def leads(pipeline: "Pipeline", sampling: Sampling) -> bool:
    """Whether guidance leads a model, or a stage before it, away from anything."""
    over = sampling.over(pipeline.defaults)
    return negative_for(over, {}) is not None or feeders_lead(pipeline, over)


def feeders_lead(pipeline: "Pipeline", over: Sampling) -> bool:
    """Whether guidance leads a stage before a model, which is sampled so, away from anything."""
    stages = over.stages or {}
    return any(
        leads(feeder.pipeline, replace(stages.get(feeder.name, Sampling()), stages=stages or None))
        for feeder in pipeline.feeders.values()
    )


def with_feeds(plan: Plan, feeds: Mapping[str, Feed], asked: Sampling) -> Plan:
    """A plan that is given what feeders make; its recipe says how.

    Args:
        plan: Of the model alone, or with its refiner.
        feeds: By condition.
        asked: What was asked for, over the model's defaults: whether it gives stages seeds.
    """
    stages: dict[str, Sampling] = {}
    for feed in feeds.values():
        how, said = feed.plan.sampling, (asked.stages or {}).get(feed.name, Sampling())
        own = replace(how, seed=said.seed, stages=None, batch_size=said.batch_size)
        stages |= {**(how.stages or {}), feed.name: own}
    then = None if plan.then is None else with_feeds(plan.then, feeds, asked)
    known = plan.pipeline.conditioner.conditions
    mine = {name: feed for name, feed in feeds.items() if name in known}
    sampling = replace(plan.sampling, stages=stages or None)
    return replace(plan, feeds=mine, then=then, sampling=sampling)


def _seeds(seed: int | Sequence[int], name: str) -> int | tuple[int, ...]:
    if isinstance(seed, int):
        return stage_seed(seed, name)
    return tuple(stage_seed(one, name) for one in seed)
