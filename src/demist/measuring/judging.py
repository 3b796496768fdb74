"""The judge of a data set: an independent classifier, trained once and kept."""

import contextlib
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from demist.config import DataConfig
from demist.data import Dataset
from demist.data.readers import scenes
from demist.errors import DataError, MissingError, UsageError
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.judge.pseudo import clusters
from demist.evaluation.judge.scenes import Judge
from demist.evaluation.metrics.accuracy import label_accuracy
from demist.io.files import cache_folder
from demist.measuring.prompts import classes_to_ask
from demist.modalities import of
from demist.modalities.named import divided
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.model.values import classes_of, of_class
from demist.training.judge import RECIPE, default_classifier, train_judge


def judge(train: Dataset, test: Dataset, seed: int = 0) -> Classifier:
    """The classifier of this data; trained, with a bar, if nobody asked before.

    Images without classes are put into clusters first; see `demist.evaluation.judge.pseudo`.

    Raises:
        UsageError: No judge can look at the data.
    """
    if not of(train).judged:
        raise UsageError(
            f"{train.name or 'the data'} are {of(train).name}, which no judge looks at"
        )
    if len(train.classes) < 2:
        train, test = clustered(train, test, seed)
    with tqdm(desc="training the judge", disable=not sys.stderr.isatty(), leave=False) as bar:

        def progress(step: int, steps: int, loss: float) -> None:
            bar.total = steps
            bar.update()

        return default_classifier(train, cache_folder(), test=test, seed=seed, progress=progress)


def scene_judge(size: int) -> Judge:
    """What reads DigitScenes of this size; trained if nobody asked before, which takes minutes."""
    path = cache_folder() / f"scene-classifier-{size}-{RECIPE}-{SCENES}.safetensors"
    with contextlib.suppress(MissingError, DataError):
        return Judge(scenes.COLOURS, scenes.PLACES, Classifier.load(path))
    print("training the judge of scenes, which is kept", file=sys.stderr)
    data, known = scenes.draw(SCENES, "train", seed=1, size=size)
    made = train_judge(data.x, known, scenes.COLOURS, scenes.PLACES)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.classifier.save(path)
    return made


def clustered(train: Dataset, test: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """The same images, their clusters as classes."""
    found = clusters(train.x, test.x, seed=seed)
    classes = tuple(f"cluster {j}" for j in range(max(y.max() for y in found) + 1))
    a, b = (data.with_labels(y, classes) for data, y in zip((train, test), found, strict=True))
    return a, b


SCENES = 12_000
"""Scenes that their judge learns from."""


@dataclass(frozen=True)
class LabelAccuracy:
    """How often samples show the class that was asked for.

    Attributes:
        share: In which the classifier sees it.
        n: Samples.
        ceiling: The same of real images; None: not known.
    """

    share: float
    n: int
    ceiling: float | None

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    def __str__(self) -> str:
        p, n, best = self.share, self.n, self.ceiling
        ceiling = f"; of real ones it recognises {100 * best:.1f} %" if best else ""
        return (
            f"label accuracy {100 * p:.1f} % ± {100 * (p * (1 - p) / n) ** 0.5:.1f} on {n} "
            f"samples, by an independent classifier{ceiling}"
        )


def label_accuracy_of(
    pipeline: Pipeline, data: DataConfig, n: int, sampling: Sampling
) -> LabelAccuracy:
    """How often `n` samples show what was asked for, classes as often as the data has them.

    Raises:
        UsageError: The data has none of the model's classes.
    """
    division = divided(data)
    labels = sorted(classes_to_ask(pipeline, division.train, n)[0], key=classes_of(pipeline).index)
    cond: dict[str, Any] = of_class(pipeline, labels)
    x = pipeline.sample(n, sampling, progress=sys.stderr.isatty(), **cond)
    kind = of(pipeline)
    train, test, made = map(kind.as_seen, (division.train, division.test, Dataset(x)))
    card = (classifier := judge(train, test)).card
    asked = np.array([card.classes.index(name) for name in labels], np.int64)
    return LabelAccuracy(label_accuracy(classifier, made.x, asked).overall, n, card.accuracy)
