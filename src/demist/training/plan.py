"""What a training run would do, without doing it."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from demist.config import DEFAULT_BUDGET, Stages, TrainConfig, parse_duration, update
from demist.data import Dataset
from demist.data.files.shards import nothing_beside
from demist.machine.memory import peak_memory
from demist.modalities.named import remembering
from demist.training.advice import before
from demist.training.build import build
from demist.training.experiment import Experiment
from demist.training.fit import fit
from demist.training.footprint import require_fits
from demist.training.given import Given, stages_of
from demist.training.gradient import part_of
from demist.training.look import Look, look
from demist.training.stages import rehearsal

LONG = 10.0
"""Seconds that trying so many items may take."""
LARGE = 100_000
"""Numbers in an item, of which one at a time is tried first."""


@dataclass(frozen=True)
class Plan:
    """What `train` would do.

    Attributes:
        data: Name and source of the data.
        items: Number of items.
        shape: Of one item.
        classes: Names of classes that condition the model; empty if none.
        bad_files: Number of files skipped.
        parameters: Of the network.
        precision: fp32 or bf16.
        device: Where it would be trained.
        seconds_per_step: Measured; see `seconds_per_step`.
        steps: Expected number.
        seconds: Expected time.
        epochs: Expected number of passes over the data.
        memory_mb: Largest memory, measured or from shapes, in 10^6 bytes.
        understood: What was understood of the data, in a paragraph.
        notes: What one should know before.
        earlier: The stages that come before, each with its name; none of most runs.
    """

    data: str
    items: int
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    bad_files: int
    parameters: int
    precision: str
    device: str
    seconds_per_step: float
    steps: int
    seconds: float
    epochs: float
    memory_mb: int
    understood: str = ""
    notes: tuple[str, ...] = ()
    earlier: tuple[tuple[str, "Plan"], ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """For people: (what, value)."""
        facts = vars(self) | {
            "shape": " x ".join(map(str, self.shape)),
            "classes": _listed(self.classes) if self.classes else "-",
            "parameters": f"{self.parameters:,}",
            "seconds_per_step": f"{self.seconds_per_step:.3f}",
            "seconds": f"{self.seconds:.0f}",
            "epochs": f"{self.epochs:.1f}",
        }
        del facts["understood"], facts["notes"], facts["earlier"]
        return [(key.replace("_", " "), str(value)) for key, value in facts.items()]


def _listed(classes: tuple[str, ...]) -> str:
    more = ", ..." if len(classes) > 10 else ""
    return f"{len(classes)}: {', '.join(classes[:10])}{more}"


@nothing_beside()
def plan(config: Given | Stages, data: Dataset | None = None, **options: Any) -> Plan:
    """Say what `train` would do, from the shapes of things; writes nothing.

    Of a large folder some images are opened. What a step needs is known before one is taken; how
    long it takes is measured on as much of a batch as takes seconds. What an earlier stage makes
    has random weights meanwhile.

    Args:
        config: As for `train`; so are all below.
        data: Use this data.
        options: Further options by name.

    Raises:
        DemistError: As `train` would; and memory would not hold a step.
    """
    stages = stages_of(config, options)
    looks = [look(stage.config) if data is None else Look(stage.config) for stage in stages]
    if not stages.earlier:
        return _planned(stages.last, looks[0], build(looks[0].config, data))
    load = remembering()
    found = []
    opened = [replace(stage, config=seen.config) for stage, seen in zip(stages, looks, strict=True)]
    seen_stages = replace(stages, earlier=tuple(opened[:-1]), last=opened[-1].config)
    for (stage, e), seen in zip(rehearsal(seen_stages, data, load), looks, strict=True):
        whole = data or load(stage.config.data).data
        found.append((stage.name, _planned(stage.config, seen, e, whole)))
    last = found.pop()[1]
    return replace(last, notes=(*stages.said, *last.notes), earlier=tuple(found))


def _planned(config: TrainConfig, seen: Look, e: Experiment, whole: Dataset | None = None) -> Plan:
    """The plan of a stage; `whole` is all data that was looked at, if the objects have less."""
    data = whole or e.data
    e = replace(e, data=data)
    found = require_fits(e)
    optimization, items = e.config.optimization, seen.items(data)
    per_step = seconds_per_step(e)
    steps = _expected_steps(config, per_step)
    memory = peak_memory() if found is None else max(peak_memory(), found.peak)
    return Plan(
        data=": ".join(filter(None, [data.name, data.source])),
        items=items,
        shape=tuple(data.x.shape[1:]),
        classes=data.classes if e.pipeline.conditioner.conditions else (),
        bad_files=len(data.bad),
        parameters=e.parameters,
        precision=optimization.precision,
        device=str(e.device),
        seconds_per_step=per_step,
        steps=steps,
        seconds=steps * per_step,
        epochs=steps * optimization.batch_size / items,
        memory_mb=round(memory / 1e6),
        understood=seen.report(data).paragraph(),
        notes=tuple(filter(None, [e.held_out, *before(e, steps * optimization.batch_size)])),
    )


def seconds_per_step(e: Experiment) -> float:
    """Measured on a whole batch, or on as much of one as does not take long.

    A step takes time of its own, beside that of its items, so a small part says too much. It grows
    as long as its time, which rises at most in proportion, allows it.
    """
    size = e.config.optimization.batch_size
    count = _small_part(size, 1 if math.prod(e.data.x.shape[1:]) > LARGE else 4)
    while True:
        seconds = _timed(e, part_of(e.batches, 0, size // count))
        larger = _small_part(size, max(count, int(LONG / 3 / seconds * count)))
        if larger <= count:
            return seconds * size / count
        count = larger


def _small_part(size: int, most: int) -> int:
    """The part of a batch to which halving leads, of at most so many items if that can be."""
    while size % 2 == 0 and size > most:
        size //= 2
    return size


def _timed(e: Experiment, batches: Any) -> float:
    """Seconds of the second step or, where two do not take long, of the faster one of two.

    The first does not count: in it much is prepared.
    """
    limits = update(e.config, {"steps": 3, "images": None, "budget": None}).limits
    trial = fit(
        e.denoiser, batches, objective=e.objective, options=e.config.optimization, limits=limits
    )
    times = [time.perf_counter()]
    for _ in trial:
        times.append(time.perf_counter())
        if len(times) > 2 and times[-1] - times[0] > LONG / 2:
            break
    return max(float(np.diff(times)[1:].min()), 1e-6)


def _expected_steps(config: TrainConfig, per_step: float) -> int:
    limits, ends = config.limits, []
    if limits.steps:
        ends.append(limits.steps)
    if limits.images:
        ends.append(math.ceil(limits.images / config.optimization.batch_size))
    if limits.budget or not ends:
        ends.append(max(1, int(parse_duration(limits.budget or DEFAULT_BUDGET) / per_step)))
    return min(ends)
