"""Stages of a saved model and of a run: whole models in sub-folders; see `feeders`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist import runs, zoo
from demist.config import CascadeConfig
from demist.config.stages import REFERENCE
from demist.errors import DataError, UsageError
from demist.interop import Reading
from demist.io.files import read_json, sha256, write_json
from demist.io.untrusted import inside
from demist.model.feeders import NAME
from demist.model.plan import REFINER
from demist.model.sums import INDEX, SUMS, require_sum, sealed_index, short
from demist.parts import split
from demist.runs import Run

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

KEY, FOLDER = "_demist_stages", "stages"
"""Where an index lists them (diffusers passes over such a key), and the folder that holds them."""
MOST = 16
"""Stages that one model may list."""

Load = Callable[[Path], "Pipeline"]


def write(pipeline: "Pipeline", place: Path, fill: Callable[["Pipeline", Path], None]) -> None:
    """Write the stages of a model into its folder, and list them in its index.

    Args:
        pipeline: The model.
        place: Its folder, in which the rest is written.
        fill: Writes a whole model into an empty folder.
    """
    second, table = pipeline.refinement, dict[str, dict[str, Any]]()
    models = {feeder.name: feeder.pipeline for feeder in pipeline.feeders.values()}
    table |= {feeder.name: {"feeds": c} for c, feeder in pipeline.feeders.items()}
    if second is not None:
        models[REFINER], table[REFINER] = second.pipeline, {"from": second.start}
    if not table:
        return
    for name, model in models.items():
        (place / FOLDER / name).mkdir(parents=True)
        fill(model, place / FOLDER / name)
    index = {**read_json(place / INDEX), KEY: table}
    sums: dict[str, str] | None = index.pop(SUMS, None)
    if sums is not None:  # a model of another maker has none
        files = [f"{FOLDER}/{name}/{INDEX}" for name in models]
        own = {name: one for name, one in sums.items() if name != INDEX}
        index = sealed_index(index, own | {file: sha256(place / file) for file in files})
    write_json(place / INDEX, index)


def read(place: Path, pipeline: "Pipeline", load: Load) -> "Pipeline":
    """A model with the stages that its folder holds.

    Args:
        place: Where it was read from.
        pipeline: The model by itself.
        load: Reads the model in a folder.

    Raises:
        MissingError: A stage is not there.
        DataError: One is damaged, or does not fit.
        RefusedError: A file is a link out of the folder.
    """
    if not (place / INDEX).is_file():
        return pipeline
    index = read_json(inside(place, INDEX))
    table = index.get(KEY, {})
    if not isinstance(table, dict) or len(table) > MOST:
        raise DataError(f"{place / INDEX}: {KEY} is no list of up to {MOST} stages")
    for name, row in table.items():
        if not NAME.fullmatch(name) or not isinstance(row, dict):
            raise DataError(f"{place / INDEX}: {short(name)!r} in {KEY} is no stage")
        file = f"{FOLDER}/{name}/{INDEX}"
        path = inside(place, file)
        if SUMS in index:
            require_sum(sha256(path), file, index, path)
        pipeline = _joined(pipeline, name, row, load(path.parent), place)
    return pipeline


def _joined(
    pipeline: "Pipeline", name: str, row: Mapping[str, Any], stage: "Pipeline", place: Path
) -> "Pipeline":
    try:
        if name == REFINER and isinstance(row.get("from"), float):
            return pipeline.refined(stage, row["from"])
        if isinstance(row.get("feeds"), str):
            return pipeline.fed(row["feeds"], stage, name)
    except UsageError as error:
        raise DataError(f"{place}: the stage {name} does not fit: {error}") from None
    raise DataError(f"{place / INDEX}: nothing says what the stage {name} does")


def for_stage(reading: Reading | None) -> Reading | None:
    """How the stages of a model are read: what belongs to the last one alone is left out."""
    return reading and replace(reading, lora=(), embedding=(), part=(), prediction=None)


def named(options: CascadeConfig) -> dict[str, str]:
    """Condition -> the model that is to make it, from `feeds`.

    Raises:
        UsageError: It is not written so.
    """
    found: dict[str, str] = {}
    for entry in split(options.feeds or ""):
        condition, equals, model = (word.strip() for word in entry.partition("="))
        if not (condition and equals and model) or condition in found:
            raise UsageError(
                f"feeds = {options.feeds!r}: write CONDITION=MODEL, each condition once, as in "
                f"low_resolution=stage:base"
            )
        found[condition] = model
    return found


def of_run(
    pipeline: "Pipeline", run: Run, load: Load, from_run: Callable[[Run], "Pipeline"]
) -> "Pipeline":
    """A run's model with the stages that its options name; see `Pipeline.with_stages_of`.

    Args:
        pipeline: The model by itself.
        run: The run.
        load: Reads the model in a folder.
        from_run: Gives the model of another run.
    """
    options, root = run.config().cascade, run.config().output.runs

    def opened(spec: str) -> "Pipeline":
        place = zoo.locate(runs.stages.resolve(spec, runs.stages.whole(run)))
        is_saved = (place / INDEX).is_file()
        return load(place) if is_saved else from_run(runs.find(str(place), root))

    for condition, spec in named(options).items():
        is_stage = spec.startswith(REFERENCE)
        name = spec.removeprefix(REFERENCE) if is_stage else condition
        pipeline = pipeline.fed(condition, opened(spec), name)
    if options.refiner is not None:
        pipeline = pipeline.refined(opened(options.refiner), options.refine_from)
    return pipeline
