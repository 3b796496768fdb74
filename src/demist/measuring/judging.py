"""The judge of a data set: an independent classifier, trained once and kept."""

import sys
from typing import Any

import numpy as np
from tqdm import tqdm

from demist.config import DataConfig
from demist.data import Dataset
from demist.errors import UsageError
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.judge.pseudo import clusters
from demist.evaluation.metrics.accuracy import label_accuracy
from demist.io.files import cache_folder
from demist.measuring.candidate import splits
from demist.modalities import of
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.model.values import classes_of, of_class, spread
from demist.training.judge import default_classifier


def judge(train: Dataset, test: Dataset, seed: int = 0) -> Classifier:
    """The classifier of this data; trained, with a bar, if nobody asked before.

    Images without classes are put into clusters first; see `demist.evaluation.judge.pseudo`.

    Raises:
        UsageError: The data are not images.
    """
    if not of(train).judged:
        raise UsageError(f"{train.name or 'the data'} is not images: nothing to judge")
    if len(train.classes) < 2:
        train, test = clustered(train, test, seed)
    with tqdm(desc="training the judge", disable=not sys.stderr.isatty(), leave=False) as bar:

        def progress(step: int, steps: int, loss: float) -> None:
            bar.total = steps
            bar.update()

        return default_classifier(train, cache_folder(), test=test, seed=seed, progress=progress)


def clustered(train: Dataset, test: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """The same images, their clusters as classes."""
    found = clusters(train.x, test.x, seed=seed)
    classes = tuple(f"cluster {j}" for j in range(max(y.max() for y in found) + 1))
    a, b = (data.with_labels(y, classes) for data, y in zip((train, test), found, strict=True))
    return a, b


def label_accuracy_of(pipeline: Pipeline, data: DataConfig, n: int, sampling: Sampling) -> str:
    """In one sentence, how often `n` samples show the class that was asked for."""
    labels = spread(classes_of(pipeline), n)
    cond: dict[str, Any] = of_class(pipeline, labels)
    x = pipeline.sample(n, sampling, progress=sys.stderr.isatty(), **cond)
    card = (classifier := judge(*splits(data))).card
    asked = np.array([card.classes.index(name) for name in labels], np.int64)
    p = label_accuracy(classifier, x, asked).overall
    ceiling = f"; of real images it recognises {100 * card.accuracy:.1f} %" if card.accuracy else ""
    return (
        f"label accuracy {100 * p:.1f} % ± {100 * (p * (1 - p) / n) ** 0.5:.1f} on {n} samples, "
        f"by an independent classifier{ceiling}"
    )
