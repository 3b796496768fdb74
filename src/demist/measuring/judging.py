"""The judge of a data set: an independent classifier, trained once and kept."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demist.config import DataConfig
from demist.errors import DataError, UsageError
from demist.io.files import cache_folder

if TYPE_CHECKING:
    import demist.data
    import demist.evaluation.extractors.features
    import demist.evaluation.judge.classifier
    import demist.evaluation.metrics.text_score
    import demist.model.pipeline


MEASURED = 50_000
"""How many samples of data that memory would not hold are measured against: the field's custom."""


def splits(options: DataConfig) -> tuple["demist.data.Dataset", "demist.data.Dataset"]:
    """Training and test data; where the data has no test split, every tenth item is the test.

    Of data that memory would not hold, a part; see `held`.
    """
    import numpy as np

    from demist.data import load

    arguments = {
        key: getattr(options, key) for key in ("size", "channels", "background", "limit", "max_bad")
    }
    train = load(options.path, **arguments)
    try:
        test = load(options.path, split="test", **arguments)
    except DataError:
        tenth = np.arange(len(train)) % 10 == 9
        train, test = (train.subset(np.flatnonzero(rows)) for rows in (~tenth, tenth))
    return held(train), held(test)


def held(data: "demist.data.Dataset") -> "demist.data.Dataset":
    """The data in memory; if it stays on the disk, `MEASURED` samples of it."""
    from demist.data import Dataset, choose

    if not data.stored:
        return data
    some: Dataset = data.subset(choose(len(data), data.labels, MEASURED, 0))
    return replace(some, x=some.x[:])


def judge(
    train: "demist.data.Dataset", test: "demist.data.Dataset", seed: int = 0
) -> "demist.evaluation.judge.classifier.Classifier":
    """The classifier of this data; trained, with a bar, if nobody asked before.

    Images without classes are put into clusters first; see `demist.evaluation.judge.pseudo`.

    Raises:
        UsageError: The data are not images.
    """
    from tqdm import tqdm

    from demist.evaluation.judge.train import default_classifier

    if train.x.ndim != 4:
        raise UsageError(f"{train.name or 'the data'} is not images: nothing to judge")
    if len(train.classes) < 2:
        train, test = clustered(train, test, seed)
    with tqdm(desc="training the judge", disable=not sys.stderr.isatty(), leave=False) as bar:

        def progress(step: int, steps: int, loss: float) -> None:
            bar.total = steps
            bar.update()

        return default_classifier(train, cache_folder(), test=test, seed=seed, progress=progress)


def clustered(
    train: "demist.data.Dataset", test: "demist.data.Dataset", seed: int
) -> tuple["demist.data.Dataset", "demist.data.Dataset"]:
    """The same images, their clusters as classes."""
    from demist.evaluation.judge.pseudo import clusters

    found = clusters(train.x, test.x, seed=seed)
    classes = tuple(f"cluster {j}" for j in range(max(y.max() for y in found) + 1))
    a, b = (data.with_labels(y, classes) for data, y in zip((train, test), found, strict=True))
    return a, b


def label_accuracy_of(
    pipeline: "demist.model.pipeline.Pipeline", data: DataConfig, n: int, settings: dict[str, Any]
) -> str:
    """In one sentence, how often `n` samples show the class that was asked for."""
    import numpy as np

    from demist.evaluation.metrics.accuracy import label_accuracy
    from demist.model.values import classes_of, spread

    labels = spread(classes_of(pipeline), n)
    x = pipeline.sample(n, **settings, progress=sys.stderr.isatty(), label=labels)
    card = (classifier := judge(*splits(data))).card
    asked = np.array([card.classes.index(name) for name in labels], np.int64)
    p = label_accuracy(classifier, x, asked).overall
    ceiling = f"; of real images it recognises {100 * card.accuracy:.1f} %" if card.accuracy else ""
    return (
        f"label accuracy {100 * p:.1f} % ± {100 * (p * (1 - p) / n) ** 0.5:.1f} on {n} samples, "
        f"by an independent classifier{ceiling}"
    )


def open_extractor(path: Path) -> "demist.evaluation.extractors.features.Extractor":
    """The feature extractor in a file or folder; see `demist.evaluation.extractors.pretrained`."""
    from demist.evaluation.extractors.pretrained import load_extractor

    return load_extractor(path)


def open_encoder(path: Path) -> "demist.evaluation.metrics.text_score.Encoder":
    """CLIP in a folder, to compare images with captions.

    Raises:
        UsageError: It is a model that reads no texts.
    """
    from demist.evaluation.extractors.pretrained import Transformer

    encoder = Transformer(path)
    if not encoder.reads:
        raise UsageError(f"--clip {path}: {encoder.kind} reads no texts; give a folder with CLIP")
    return encoder


def with_path(path: str, size: int | None, channels: int | None) -> DataConfig:
    """Data options for a path."""
    return replace(DataConfig(), path=path, size=size, channels=channels)
