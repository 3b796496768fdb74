"""The model that a command measures: a run, or a saved model; and the data it belongs to."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from demist import runs, zoo
from demist.commands.sampling import ModelOptions
from demist.config import DataConfig
from demist.errors import UsageError
from demist.measuring.judging import with_path

if TYPE_CHECKING:
    import demist.model.pipeline


@dataclass(frozen=True)
class Candidate:
    """A model to be measured.

    Attributes:
        name: Of the run or the folder.
        spec: What opens it again, in another process.
        pipeline: The model.
        precision: As it was trained.
        data: What it was trained on, if that is known.
        folder: Where its evaluation is kept.
    """

    name: str
    spec: str
    pipeline: "demist.model.pipeline.Pipeline"
    precision: str
    data: DataConfig | None
    folder: Path


def subject(spec: str, source: ModelOptions) -> Candidate:
    """The model that `spec` names: a saved one, whose evaluation is kept here, or a run."""
    folder = zoo.locate(spec)
    if (folder / "model_index.json").is_file():
        pipeline = source.open(spec)
        known = data_like(pipeline, spec) if spec in zoo.NAMES else None
        return Candidate(folder.name, spec, pipeline, "auto", known, Path())
    run = runs.find(spec, source.runs)
    config = run.config()
    path = str(run.path)
    precision = config.optimization.precision
    return Candidate(run.path.name, path, source.open(path), precision, config.data, run.path)


def data_of(model: Candidate, wanted: str | None) -> DataConfig:
    """What to compare with.

    Raises:
        UsageError: Nobody knows what a saved model was trained on.
    """
    if model.data is not None:
        return model.data if wanted is None else replace(model.data, path=wanted)
    if wanted is None:
        raise UsageError(
            f"{model.spec} is a saved model, which does not say where its data is; add --data DATA"
        )
    return data_like(model.pipeline, wanted)


def data_like(pipeline: "demist.model.pipeline.Pipeline", path: str) -> DataConfig:
    """The data at `path`, images brought to the size and channels of the model's."""
    images, shape = len(pipeline.shape) == 3, pipeline.shape
    return with_path(path, shape[-1] if images else None, shape[0] if images else None)
