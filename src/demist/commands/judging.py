"""The judge of a data set: an independent classifier, trained once and kept."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from demist.config import DataConfig
from demist.errors import DataError, UsageError

if TYPE_CHECKING:
    import demist.data
    import demist.evaluation.classifier


def cache_folder() -> Path:
    """Where judges are kept: $DEMIST_CACHE, else demist in the user's cache folder."""
    if folder := os.environ.get("DEMIST_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "demist"


def splits(options: DataConfig) -> tuple["demist.data.Dataset", "demist.data.Dataset"]:
    """Training and test data; where the data has no test split, every tenth item is the test."""
    import numpy as np

    from demist.data import load

    arguments = {
        key: getattr(options, key) for key in ("size", "channels", "background", "limit", "max_bad")
    }
    train = load(options.path, **arguments)
    try:
        return train, load(options.path, split="test", **arguments)
    except DataError:
        tenth = np.arange(len(train)) % 10 == 9
        return train.subset(np.flatnonzero(~tenth)), train.subset(np.flatnonzero(tenth))


def judge(
    train: "demist.data.Dataset", test: "demist.data.Dataset", seed: int = 0
) -> "demist.evaluation.classifier.Classifier":
    """The classifier of this data; trained, with a bar, if nobody asked before.

    Raises:
        UsageError: The data are not images in classes.
    """
    from tqdm import tqdm

    from demist.evaluation.classifier_training import default_classifier

    if train.x.ndim != 4 or len(train.classes) < 2:
        raise UsageError(f"{train.name or 'the data'} is not images in classes: nothing to judge")
    with tqdm(desc="training the judge", disable=not sys.stderr.isatty(), leave=False) as bar:

        def progress(step: int, steps: int, loss: float) -> None:
            bar.total = steps
            bar.update()

        return default_classifier(train, cache_folder(), test=test, seed=seed, progress=progress)


def with_path(path: str, size: int | None, channels: int | None) -> DataConfig:
    """Data options for a path."""
    return replace(DataConfig(), path=path, size=size, channels=channels)
