"""A trained model teaches another to need one or two evaluations.

Student and critic (see `demist.objectives.matching_loss`) are one network here, so they are
trained, checkpointed and resumed like any other; the average that is sampled from is the student's.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from demist import runs, saved
from demist.config import DistillationConfig, TrainConfig, flat
from demist.core import Denoiser, Model, Prediction, Schedule
from demist.data import Dataset
from demist.errors import MissingError, UsageError
from demist.guidance import CFG
from demist.objectives import Times, Weight, matching_loss
from demist.pipeline import Defaults, Pipeline
from demist.training.batches import Batch
from demist.training.gradient import rewrap

OWN = {
    "data": ("path", "size", "channels", "background", "limit", "max_bad", "flip"),
    "network": (),
    "diffusion": ("times", "weight"),
}
"""Section -> its options that do not come from the teacher."""


class Pair(nn.Module):
    """The student, which is what becomes of the training, and the critic.

    Args:
        net: The teacher's network; both begin as copies of it.
        rate: Learning rate of the student, in units of the critic's.
    """

    def __init__(self, net: nn.Module, rate: float):
        super().__init__()
        self.student, self.critic = copy.deepcopy(net), copy.deepcopy(net)
        self.rates: Mapping[str, float] = {"student.": rate}

    def forward(self, x: Tensor, t: Tensor, *, critic: bool = False, **cond: Any) -> Tensor:
        """What the student says, or the critic."""
        return (self.critic if critic else self.student)(x, t, **cond)


@dataclass(frozen=True)
class Critic:
    """The critic of a pair, as a model of its own."""

    pair: Denoiser

    @property
    def schedule(self) -> Schedule:
        """The student's."""
        return self.pair.schedule

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        return self.pair(x, t, critic=True, **cond)


@dataclass(frozen=True)
class Matching:
    """The objective of a pair; see `demist.objectives.matching_loss`.

    Attributes:
        teacher: Frozen, guided or not.
        times: Distribution of the times of comparison.
        weight: Of the critic's loss.
        evaluations: Times at which the student is asked.
    """

    teacher: Model
    times: Times
    weight: Weight
    evaluations: tuple[float, ...]

    def __call__(self, denoiser: Denoiser, batch: Batch) -> Tensor:
        t = self.times(batch.u, denoiser.schedule)
        return matching_loss(
            denoiser, Critic(denoiser), self.teacher, batch.x0, t,
            self.evaluations, self.weight, batch.noise, **batch.cond,
        )  # fmt: skip


def open_teacher(config: TrainConfig) -> Pipeline:
    """The teacher that `config` names: a saved model, one of the package, or a run.

    Raises:
        MissingError: There is none.
        DataError: It is damaged.
        UsageError: It cannot teach, or an option says again what the teacher is.
    """
    spec = config.distillation.teacher
    assert spec is not None
    try:
        teacher = Pipeline.load(spec)
    except MissingError:
        teacher = Pipeline.from_run(runs.find(spec, config.output.runs))
    given, usual = flat(config), flat(TrainConfig())
    for name in fixed():
        if given[name] != usual[name]:
            raise UsageError(
                f"{name} = {given[name]!r}: with a teacher this is the teacher's; leave it out"
            )
    if config.optimization.parallel != "ddp":
        raise UsageError("parallel = 'fsdp' with a teacher: use ddp; it needs three copies of one")
    if teacher.denoiser.learn_variance:
        raise UsageError(f"teacher = {spec!r} has learned variances, which few steps cannot use")
    return teacher


def fixed() -> list[str]:
    """Options that the teacher decides."""
    nothing = TrainConfig()
    names = [
        name
        for section, ours in OWN.items()
        for name in vars(getattr(nothing, section))
        if name not in ours
    ]
    return [*names, "sample_steps", "sample_solver", "sample_guidance"]


def lessons(teacher: Pipeline, data: Dataset) -> dict[str, Any]:
    """What the student is told with each item of the data: the teacher's conditions.

    Raises:
        UsageError: The data is of another shape, or lacks a condition of the teacher's.
    """
    if data.x.shape[1:] != teacher.shape:
        ours, theirs = (" x ".join(map(str, s)) for s in (data.x.shape[1:], teacher.shape))
        raise UsageError(f"the data is {ours} and the teacher makes {theirs}; see --size")
    known = teacher.conditioner.conditions
    values: dict[str, Any] = {}
    if "label" in known:
        classes: tuple[str, ...] = getattr(known["label"], "classes", ())
        if data.labels is None or tuple(data.classes) != classes:
            raise UsageError(
                f"the teacher knows the classes {', '.join(classes)} and the data has "
                f"{', '.join(data.classes) or 'none'}; give data with the teacher's classes"
            )
        values["label"] = data.labels
    if "text" in known:
        if data.texts is None:
            raise UsageError("the teacher reads captions and the data has none")
        cut = getattr(known["text"], "cut", str)
        values["text"] = np.array([cut(caption) for caption in data.texts])
    if others := known.keys() - values.keys():
        raise UsageError(
            f"the teacher is told {', '.join(sorted(others))}; students can learn label and text"
        )
    return values


def student_of(
    teacher: Pipeline,
    options: DistillationConfig,
    times: Times,
    weight: Weight,
    facts: Mapping[str, Any],
) -> tuple[Pipeline, Denoiser, Matching]:
    """A student that is still a copy of its teacher, the pair that is trained, and the objective.

    Args:
        teacher: On its device.
        options: How to teach.
        times: Distribution of the times of comparison.
        weight: Of the critic's loss.
        facts: Of the student; the teacher's weights are added.
    """
    facts = {**facts, "teacher": saved.weights_hash(teacher)}
    d, evaluations = teacher.denoiser, options.evaluations
    both = Pair(d.net, options.student_rate)
    student, pair = rewrap(d, both.student), rewrap(d, both)
    grid = ",".join(f"{t:g}" for t in (*evaluations, 0))
    pipeline = replace(
        teacher, denoiser=student, defaults=Defaults(len(evaluations), "ddpm", grid), facts=facts
    )
    model: Model = d.eval().requires_grad_(False)
    if options.teacher_guidance != 1:
        model = CFG(model, options.teacher_guidance, teacher.conditioner.null)
    return pipeline, pair, Matching(model, times, weight, evaluations)
