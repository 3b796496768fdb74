"""What samples are measured with, and what they were asked to be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demist.data import Dataset
from demist.evaluation.extractors.features import Extractor
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.metrics.text_score import Encoder


@dataclass(frozen=True)
class Asked:
    """Sample i is asked for value i mod K of every condition.

    Attributes:
        values: Condition -> K values.
        rows: The K held-out images whose captions these are; empty if none are asked for.
        sentence: The same in words.
        classes: The condition that is the class, if any.
        captions: The condition that is the caption, if any.
    """

    values: dict[str, list[Any]]
    rows: list[int]
    sentence: str
    classes: str = ""
    captions: str = ""

    def of(self, name: str, count: int) -> list[Any]:
        """What `count` samples are asked for; empty if nothing of that kind is."""
        values = self.values.get(name)
        return [values[i % len(values)] for i in range(count)] if values else []


@dataclass(frozen=True)
class Ruler:
    """Data and extractors, the same for all models that are compared.

    Attributes:
        train: Training data.
        test: Held-out data.
        extractor: Makes the features; None: the judge.
        encoder: Compares images with captions, if that is wanted.
        judge: Gives the classifier of training and test data, for kinds of data that have one.
        learned: Fingerprint of the data that a model should have learned from.
        undivided: Fingerprint of training and held-out data together, if the data itself does not
            divide them; else "".
    """

    train: Dataset
    test: Dataset
    extractor: Extractor | None = None
    encoder: Encoder | None = None
    judge: Callable[[Dataset, Dataset], Classifier] | None = None
    learned: str = ""
    undivided: str = ""
