"""The options of a run, from what a program gives: a path, a dictionary, or a `TrainConfig`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demist import runs, zoo
from demist.config import CODEC_WORDS, Stages, TrainConfig, divide, flat, update
from demist.config.stages import REFERENCE, changed
from demist.errors import MissingError, UsageError
from demist.io import hub
from demist.model.folder import INDEX
from demist.parts import split
from demist.runs import Run

MODELS = ("start_from", "teacher", "codec", "refiner")
"""Options that name a model or a run; `feeds` names several."""
Given = TrainConfig | str | os.PathLike[str] | Mapping[str, Any]
"""Options: all of them, where the data is, or some by name."""


def config_of(given: Any, options: Mapping[str, Any]) -> TrainConfig:
    """All options.

    Args:
        given: See `Given`.
        options: Further ones by name, which win.

    Raises:
        UsageError: An option does not exist, or a value makes no sense.
    """
    if isinstance(given, TrainConfig):
        return update(given, options) if options else given
    if isinstance(given, str | os.PathLike):
        return update(TrainConfig(), {"path": os.fspath(given), **options})
    if isinstance(given, Mapping):
        return update(TrainConfig(), {**given, **options})
    raise UsageError(
        f"train({given!r}): give where the data is, options by name or a TrainConfig, as in "
        f"demist.train('photos', size=32, budget='10m')"
    )


def stages_of(given: Given | Stages, options: Mapping[str, Any], run: Run | None = None) -> Stages:
    """All stages of a run, of which most have one.

    Args:
        given: See `Given`; or the stages themselves.
        options: Further options by name, which win.
        run: The run to go on with: what it is divided into is known, so that its own options, some
            of them changed, are enough.

    Raises:
        DemistError: The options make no sense or other stages, or the run cannot be read.
    """
    if isinstance(given, Stages):
        if options:
            raise UsageError(
                f"train(stages, {next(iter(options))}=...): give options where the stages are "
                f"made, as in recipe.divided(update(recipe.config(), ...))"
            )
        return given if run is None else _same(given, runs.stages.read(run), run)
    config = config_of(given, options)
    if run is None:
        return divide(config)
    old = runs.stages.read(run)
    # Of a divided run, the name of a stage stands where `divide` has what makes it.
    own = not old.earlier or config.latents.codec == old.last.latents.codec
    return _same(changed(old, config) if own else divide(config), old, run)


def _same(asked: Stages, old: Stages, run: Run) -> Stages:
    """Those asked for, if they have the names of those that the run has."""
    names = [", ".join(stage.name for stage in one.earlier) or "none" for one in (old, asked)]
    if names[0] != names[1]:
        raise UsageError(
            f"{run.path} has these stages before its last: {names[0]}; and these options make: "
            f"{names[1]}. Go on with its own options: {runs.resume_command(run)}"
        )
    return asked


def with_runs_named(config: TrainConfig, run: Run | None = None) -> TrainConfig:
    """The options with the paths of the runs that they mean, however these were called.

    So `latest`, or a number, means the same run when this one goes on.

    Args:
        config: What was asked for.
        run: The run that starts, which is not meant by `latest`.
    """
    given = flat(config)
    if config.latents.codec in CODEC_WORDS:
        given["codec"] = None  # a word is no run, whatever runs are called
    values = {name: place_of(given[name], config, run) for name in MODELS if given[name]}
    if config.cascade.feeds:
        entries = (entry.partition("=") for entry in split(config.cascade.feeds))
        found = (f"{n}{is_}{place_of(spec.strip(), config, run)}" for n, is_, spec in entries)
        values["feeds"] = ",".join(found)
    return update(config, values)


def place_of(spec: str, config: TrainConfig, run: Run | None) -> str:
    """The path of the run that an option means; what is no run stays as it is."""
    root = config.output.runs
    if not spec or spec.startswith(REFERENCE) or hub.is_named(spec):
        return spec
    place = zoo.locate(spec)
    if place != Path(spec) or (place / INDEX).is_file():
        return spec
    found = [one for one in runs.all_runs(root) if one.begun and one != run]
    try:
        meant = found[-1] if spec == "latest" and found else runs.find(spec, root)
    except MissingError:
        return spec
    return str(meant.path)


def pinned(
    config: TrainConfig, old: TrainConfig | None = None, run: Run | None = None
) -> TrainConfig:
    """The options with the commit of data of the hub, so that a run says what it learned from.

    Runs that it learns from are paths, too.

    Args:
        config: What was asked for.
        old: The run that goes on: where no revision is named, its own is meant.
        run: The same, which no option means.

    Raises:
        DemistError: The data cannot be had.
    """
    config = with_runs_named(config, run)
    path = config.data.path
    if not hub.is_named(path):
        return config
    named = hub.parse(path)
    before = "" if old is None else old.data.path
    if named.revision is None and before.partition("@")[0] == path:
        return update(config, {"path": before})
    return update(config, {"path": hub.pinned(path, "dataset")})
