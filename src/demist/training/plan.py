"""What a training run would do, without doing it."""

import math
import time
from dataclasses import asdict, dataclass

import numpy as np

from demist.config import DEFAULT_BUDGET, TrainConfig, parse_duration, update
from demist.data import Dataset
from demist.machine.memory import peak_memory
from demist.training.build import build
from demist.training.fit import fit


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
        seconds_per_step: Measured over three steps.
        steps: Expected number.
        seconds: Expected time.
        epochs: Expected number of passes over the data.
        memory_mb: Largest resident memory in those steps, in 10^6 bytes.
        understood: What was understood of the data, in a paragraph.
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

    def rows(self) -> list[tuple[str, str]]:
        """For people: (what, value)."""
        facts = asdict(self) | {
            "shape": " x ".join(map(str, self.shape)),
            "classes": f"{len(self.classes)}: {', '.join(self.classes[:10])}"
            if self.classes
            else "-",
            "parameters": f"{self.parameters:,}",
            "seconds_per_step": f"{self.seconds_per_step:.3f}",
            "seconds": f"{self.seconds:.0f}",
            "epochs": f"{self.epochs:.1f}",
        }
        del facts["understood"]
        return [(key.replace("_", " "), str(value)) for key, value in facts.items()]


def plan(config: TrainConfig, data: Dataset | None = None) -> Plan:
    """Load the data, take three steps, and say what `train` would do; writes nothing.

    Raises:
        DemistError: As `train` would.
    """
    e = build(config, data)
    options = e.config.optimization
    trial = fit(
        e.denoiser,
        e.batches,
        objective=e.objective,
        options=options,
        limits=update(config, {"steps": 3, "images": None, "budget": None}).limits,
    )
    times = [time.perf_counter(), *(time.perf_counter() for _ in trial)]
    per_step = max(float(np.diff(times)[1:].min()), 1e-6)
    steps = _expected_steps(config, per_step)
    return Plan(
        data=": ".join(filter(None, [e.data.name, e.data.source])),
        items=len(e.data),
        shape=tuple(e.data.x.shape[1:]),
        classes=e.data.classes if e.pipeline.conditioner.conditions else (),
        bad_files=len(e.data.bad),
        parameters=e.parameters,
        precision=options.precision,
        device=str(e.device),
        seconds_per_step=per_step,
        steps=steps,
        seconds=steps * per_step,
        epochs=steps * options.batch_size / len(e.data),
        memory_mb=round(peak_memory() / 1e6),
        understood=e.data.report.paragraph(),
    )


def _expected_steps(config: TrainConfig, per_step: float) -> int:
    limits, ends = config.limits, []
    if limits.steps:
        ends.append(limits.steps)
    if limits.images:
        ends.append(math.ceil(limits.images / config.optimization.batch_size))
    if limits.budget or not ends:
        ends.append(max(1, int(parse_duration(limits.budget or DEFAULT_BUDGET) / per_step)))
    return min(ends)
