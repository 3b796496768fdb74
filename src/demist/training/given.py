"""The options of a run, from what a program gives: a path, a dictionary, or a `TrainConfig`."""

import os
from collections.abc import Mapping
from typing import Any

from demist.config import TrainConfig, update
from demist.errors import UsageError
from demist.io import hub

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


def pinned(config: TrainConfig, old: TrainConfig | None = None) -> TrainConfig:
    """The options with the commit of data of the hub, so that a run says what it learned from.

    Args:
        config: What was asked for.
        old: The run that goes on: where no revision is named, its own is meant.

    Raises:
        DemistError: The data cannot be had.
    """
    path = config.data.path
    if not hub.is_named(path):
        return config
    named = hub.parse(path)
    before = "" if old is None else old.data.path
    if named.revision is None and before.partition("@")[0] == path:
        return update(config, {"path": before})
    return update(config, {"path": hub.pinned(path, "dataset")})
