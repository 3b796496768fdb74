"""A trained model teaches another to need one or two evaluations.

Student and critics (see `demist.objectives.matching_loss`) are one network here, so they are
trained, checkpointed and resumed like any other; the average that is sampled from is the student's.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from demist.config import DistillationConfig, TrainConfig, flat
from demist.core import Denoiser, Model, Prediction, Schedule
from demist.data import Dataset
from demist.errors import UsageError
from demist.guidance import CFG
from demist.model import folder as model_folder
from demist.model.fits import Fits
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.objectives import Times, Weight, matching_loss
from demist.training.base import opened
from demist.training.batches import Batch
from demist.training.conditions import values_of
from demist.training.gradient import rewrap
from demist.training.joint import Joint

OWN = {
    "data": (
        "path",
        "size",
        "channels",
        "background",
        "fit",
        "range",
        "limit",
        "max_bad",
        "label_column",
        "caption_column",
        "long_captions",
        "class_level",
        "flip",
    ),
    "network": (),
    "latents": (),
    "diffusion": ("weight",),
}
"""Section -> its options that do not come from the teacher."""


class School(Joint):
    """The student, which is what becomes of the training, and a critic of each of its evaluations.

    One critic of all would only see to it that samples after one and after two evaluations have
    the teacher's distribution together: the former came out too much alike, the latter too varied.

    Args:
        net: The teacher's network; all begin as copies of it.
        critics: How many.
        rate: Learning rate of the student, in units of the critics'.
    """

    def __init__(self, net: nn.Module, critics: int, rate: float):
        super().__init__()
        self.student = copy.deepcopy(net)
        self.critics = nn.ModuleList(copy.deepcopy(net) for _ in range(critics))
        self.rates = {"student.": rate}

    @property
    def kept(self) -> nn.Module:
        """The student."""
        return self.student

    def forward(self, x: Tensor, t: Tensor, *, critic: bool = False, **cond: Any) -> Tensor:
        """What the student says; or, of sample i of K critics, number i % K."""
        if not critic:
            out: Tensor = self.student(x, t, **cond)
            return out
        count = len(self.critics)
        joined = torch.empty_like(x)
        for k, net in enumerate(self.critics):
            theirs = {name: value[k::count] for name, value in cond.items()}
            joined[k::count] = net(x[k::count], t[k::count], **theirs).to(x.dtype)
        return joined


@dataclass(frozen=True)
class Critic:
    """The critics of a school, as one model."""

    school: Denoiser

    @property
    def schedule(self) -> Schedule:
        """The student's."""
        return self.school.schedule

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        found: Prediction = self.school(x, t, critic=True, **cond)
        return found


@dataclass(frozen=True)
class Matching:
    """The objective of a school; see `demist.objectives.matching_loss`.

    Attributes:
        teacher: Frozen, guided or not.
        times: Distribution of the times of comparison.
        weight: Of the critics' loss.
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


def open_teacher(config: TrainConfig, device: torch.device) -> Pipeline | None:
    """The teacher that `config` names, if any: a saved model, one of the package, or a run.

    Raises:
        MissingError: There is none.
        DataError: It is damaged.
        UsageError: It cannot teach, or an option says again what the teacher is; or there is to be
            none, and an option says how it teaches.
    """
    given, usual = flat(config), flat(TrainConfig())
    spec = config.distillation.teacher
    if spec is None:
        for name in vars(config.distillation):
            if given[name] != usual[name]:
                raise UsageError(f"{name} = {given[name]!r} says how a --teacher teaches; name one")
        return None
    teacher = opened(spec, config.output.runs, "teacher")
    for name in fixed():
        if given[name] != usual[name]:
            raise UsageError(
                f"{name} = {given[name]!r}: with a teacher this is the teacher's; leave it out"
            )
    if config.optimization.parallel != "ddp":
        raise UsageError(
            "parallel = 'fsdp' with a teacher: use ddp; it needs several copies of one"
        )
    if teacher.denoiser.learn_variance:
        raise UsageError(f"teacher = {spec!r} has learned variances, which few steps cannot use")
    return teacher.to(device)


def fixed() -> list[str]:
    """Options that the teacher decides, and those that only training without one reads."""
    nothing = TrainConfig()
    names = [
        name
        for section, ours in OWN.items()
        for name in vars(getattr(nothing, section))
        if name not in (*ours, "mid_positions")  # older runs have another, which nobody reads
    ]
    return [*names, "sample_steps", "sample_solver", "sample_guidance"]


def teacher_conditions(teacher: Pipeline, data: Dataset) -> dict[str, Any]:
    """Values of the teacher's conditions in the data, from which the student learns.

    Raises:
        UsageError: The data is of another shape, or lacks a condition of the teacher's.
    """
    if data.x.shape[1:] != teacher.shape:
        ours, theirs = (" x ".join(map(str, s)) for s in (data.x.shape[1:], teacher.shape))
        raise UsageError(f"the data is {ours} and the teacher makes {theirs}; see --size")
    try:
        return values_of(teacher.conditioner, data)
    except UsageError as error:
        raise UsageError(f"of the teacher: {error}") from None


def student_of(
    teacher: Pipeline,
    options: DistillationConfig,
    times: Times,
    weight: Weight,
    facts: Mapping[str, Any],
) -> tuple[Pipeline, Denoiser, Matching]:
    """A student that is still a copy of its teacher, the school that is trained, and the objective.

    Args:
        teacher: On its device.
        options: How to teach.
        times: Distribution of the times of comparison.
        weight: Of the critics' loss.
        facts: Of the student; the teacher's weights are added.
    """
    facts = {**facts, "teacher": model_folder.weights_hash(teacher)}
    d, evaluations = teacher.denoiser, options.evaluations
    net = School(d.net, len(evaluations), options.student_rate)
    student, school = rewrap(d, net.student), rewrap(d, net)
    grid = ",".join(f"{t:g}" for t in (*evaluations, 0))
    pipeline = replace(
        teacher, denoiser=student, defaults=Sampling(len(evaluations), "ddpm", grid), facts=facts,
        fits=Fits(),
    )  # fmt: skip
    model: Model = d.eval().requires_grad_(False)
    if options.teacher_guidance != 1:
        model = CFG(model, options.teacher_guidance, teacher.conditioner.null)
    return pipeline, school, Matching(model, times, weight, evaluations)
