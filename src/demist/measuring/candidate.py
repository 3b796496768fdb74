"""The model that is measured: a run, or a saved model; and the data it belongs to."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from demist import zoo
from demist.config import DataConfig
from demist.errors import UsageError
from demist.interop import Reading
from demist.io import hub
from demist.measuring.companions import Companions as Companions
from demist.modalities import of
from demist.model import adapted as adapted
from demist.model.folder import INDEX
from demist.model.open import RUNS, locate, open_model
from demist.model.open import keep_fits as keep_fits
from demist.model.open import open_weak as open_weak
from demist.model.open import reading_of as reading_of
from demist.model.pipeline import Pipeline
from demist.runs import Run


@dataclass(frozen=True)
class Candidate:
    """A model to be measured.

    Attributes:
        name: Of the run or the folder.
        place: The folder from which it was opened.
        pipeline: The model.
        precision: As it was trained.
        data: What it was trained on, if that is known.
        folder: Where its evaluation is kept.
        at_step: Checkpoint of the run; None: the newest.
        device: Where the network runs.
        reading: How it was read.
        beside: What was put beside it.
        given: Conditions that all its samples are given so.
    """

    name: str
    place: Path
    pipeline: Pipeline
    precision: str
    data: DataConfig | None
    folder: Path
    at_step: int | None = None
    device: str = "auto"
    reading: Reading | None = None
    beside: Companions = Companions()  # noqa: RUF009 (a frozen value)
    given: Mapping[str, Any] = field(default_factory=dict)

    def with_beside(self, beside: Companions) -> "Candidate":
        """The same with other models beside it.

        Raises:
            As `Companions.join`.
        """
        pipeline, given = beside.join(self.pipeline, self.reading)
        return replace(self, pipeline=pipeline, beside=beside, given=given)


Named = str | int | os.PathLike[str] | Run | Candidate
"""A model as people name it: a run, its number, name or path, a saved model's folder."""


def open_candidate(
    model: Named,
    *,
    at_step: int | None = None,
    device: str = "auto",
    runs: Path = RUNS,
    reading: Reading | None = None,
) -> Candidate:
    """The model that is named; a saved one has its evaluation kept in the working directory.

    Args:
        model: A run, or a saved model.
        at_step: Checkpoint of the run; None: the newest.
        device: auto, cpu, cuda, cuda:1 or mps.
        runs: Folder in which run folders are.
        reading: How it is read and run.

    Raises:
        MissingError: There is no such model.
    """
    if isinstance(model, Candidate):
        return model
    spec = str(model) if isinstance(model, int) else os.fspath(_folder(model))
    place = locate(spec, runs)
    pipeline = open_model(str(place), at_step=at_step, device=device, runs=runs, reading=reading)
    if (place / INDEX).is_file() or not Run(place).begun:
        known = data_like(pipeline, spec) if spec in zoo.NAMES else None
        return Candidate(
            hub.title(place), place, pipeline, "auto", known, Path(), None, device, reading
        )
    config = Run(place).config()
    precision, data = config.optimization.precision, config.data
    if pipeline.origin is not None:  # which learned in its own size
        data = replace(data, **of(pipeline).options_of(pipeline.shape))
    return Candidate(place.name, place, pipeline, precision, data, place, at_step, device)


def _folder(model: str | os.PathLike[str] | Run) -> str | os.PathLike[str]:
    return model.path if isinstance(model, Run) else model


def data_of(model: Candidate, wanted: str | None) -> DataConfig:
    """What to compare with.

    Raises:
        UsageError: Nobody knows what a saved model was trained on.
    """
    if model.data is not None:
        return model.data if wanted is None else replace(model.data, path=wanted)
    if wanted is None:
        raise UsageError(
            f"{model.name} is a saved model, which does not say where its data is; add --data DATA"
        )
    return data_like(model.pipeline, wanted)


def data_like(pipeline: Pipeline, path: str) -> DataConfig:
    """The data at `path`, brought to the size and channels of the model's images."""
    return replace(DataConfig(), path=path, **of(pipeline).options_of(pipeline.shape))
