"""All objects of a training run, and what a run can be about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from demist.config import TrainConfig
from demist.data import Dataset
from demist.modalities import record
from demist.model.learned_codec import Trained
from demist.model.pipeline import Pipeline
from demist.runs import Run
from demist.training.batches import Batch, Stopwatch
from demist.training.gradient import Objective
from demist.training.parallel import World
from demist.training.streams import Streams


@runtime_checkable
class Task(Protocol):
    """What a run is about: a denoiser, an autoencoder, ...; one file each in `training/tasks/`.

    Attributes:
        word: `--network` has this; empty: the task of all networks that are no task of their own.
    """

    word: ClassVar[str]

    def build(self, config: TrainConfig, data: Dataset, world: World) -> "Experiment":
        """All objects, made of the options and of data that is not empty.

        Raises:
            DemistError: They do not go together.
        """

    def draw(
        self, made: Any, run: Run, step: int, data: Dataset, count: int, say: Callable[[str], None]
    ) -> None:
        """Draw the image of a step into the run's folder.

        Args:
            made: What is trained, with averaged weights.
            run: The run.
            step: Steps done.
            data: What it learns from.
            count: Samples in the image.
            say: Called with a sentence if there can be no image.
        """

    def finish(self, made: Any, data: Dataset) -> tuple[Any, Mapping[str, Any]]:
        """What is saved in the end, and what the summary says of it.

        Raises:
            DataError: It is good for nothing.
        """

    def after(self, config: TrainConfig, spec: object) -> Sequence[str]:
        """Commands that come next, for a run that is called `spec`."""


def facts_of(data: Dataset) -> dict[str, Any]:
    """What a model says of the data that it has learned from."""
    return {
        "data": data.name,
        "items": len(data),
        "fingerprint": data.fingerprint,
        **record(data),
    }


@dataclass(frozen=True)
class Experiment:
    """All objects of a training run; in `config` the precision is decided.

    `pipeline` is what comes of it: a model, or a codec. `denoiser` is what is trained: that of the
    model, or a school of it and its critics; for a codec its network. `unused` are columns of the
    data that condition nothing, and are left out of it. `held_out` says what is kept from
    training, if that needs saying; `notes` is what else is said before the first step. `base` is
    the model that it starts from, if there is one.
    """

    config: TrainConfig
    data: Dataset
    pipeline: Trained
    batches: Callable[[int], Batch]
    streams: Streams
    objective: Objective
    waiting: Stopwatch
    denoiser: nn.Module
    task: Task
    unused: tuple[str, ...] = ()
    held_out: str = ""
    notes: tuple[str, ...] = ()
    base: Pipeline | None = None

    @property
    def network(self) -> nn.Module:
        """The network that is kept in the end, without critics."""
        return next(iter(self.pipeline.components().values()))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def parameters(self) -> int:
        """Number of trained numbers of the model; critics are not counted."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)
