"""Do conditional samples show what was asked for? A classifier's opinion, class by class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from demist.errors import DataError
from demist.evaluation.metrics.metric import Found, ImageMetric, Need, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference


@runtime_checkable
class Recogniser(Protocol):
    """What this needs of a classifier: logits, and the names of the classes in `card.classes`."""

    card: Any

    def logits(self, images: UInt8[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n classes"]:
        """Logits of the classes."""


@dataclass(frozen=True)
class ClassAccuracy:
    """One row: images asked for as `name`, the share recognised, and the commonest mistake."""

    name: str
    count: int
    accuracy: float
    mistaken_for: str


@dataclass(frozen=True)
class Accuracy:
    """Share of images whose label the classifier agrees with, and a row per class present."""

    overall: float
    classes: tuple[ClassAccuracy, ...]

    def markdown(self) -> str:
        """The table of classes."""
        lines = ["| class | images | recognised | mistaken for |", "|---|---:|---:|---|"]
        lines += [
            f"| {row.name} | {row.count} | {100 * row.accuracy:.1f} % | {row.mistaken_for} |"
            for row in self.classes
        ]
        return "\n".join(lines)


def label_accuracy(
    classifier: Recogniser,
    images: UInt8[np.ndarray, "n c h w"],
    labels: Int64[np.ndarray, "_"],
) -> Accuracy:
    """Compare the classifier's labels with the labels the images were made for.

    Raises:
        DataError: labels that do not fit the images or the classes.
    """
    found: np.ndarray = classifier.logits(images).argmax(1)
    return accuracy_of(found, labels, classifier.card.classes)


def accuracy_of(
    found: Int64[np.ndarray, " n"], labels: Int64[np.ndarray, "_"], classes: tuple[str, ...]
) -> Accuracy:
    """Accuracy of labels found already; raises as `label_accuracy`."""
    check_labels(len(found), labels, classes)
    k = len(classes)
    confusion = np.bincount(labels * k + found, minlength=k * k).reshape(k, k)
    rows = []
    for index in np.flatnonzero(confusion.sum(1)):
        row = confusion[index]
        wrong = np.where(np.arange(k) == index, 0, row)
        mistake = classes[wrong.argmax()] if wrong.any() else ""
        count = int(row.sum())
        rows.append(ClassAccuracy(classes[index], count, float(row[index] / count), mistake))
    return Accuracy(float(np.trace(confusion) / confusion.sum()), tuple(rows))


def check_labels(images: int, labels: Int64[np.ndarray, " n"], classes: tuple[str, ...]) -> None:
    """Raise DataError unless there is one label in range for each of the `images`."""
    if images != len(labels):
        raise DataError(f"There are {images} images but {len(labels)} labels.")
    if len(labels) and (labels.min() < 0 or labels.max() >= len(classes)):
        raise DataError(
            f"Labels {labels.min()} .. {labels.max()} do not fit {len(classes)} classes; "
            f"they must lie in 0 .. {len(classes) - 1}."
        )


class LabelAccuracy(ImageMetric):
    """How often images show what was asked for."""

    name: ClassVar[str] = "label-accuracy"
    place: ClassVar[int] = 70
    needs: ClassVar[tuple[Need, ...]] = ("logits", "labels")
    rows: ClassVar[Mapping[str, Row]] = {
        "label_accuracy": Row("label accuracy", "high", "images show what was asked for", 4),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        if found.asked is None:
            return {}
        accuracy = accuracy_of(found.whole.labels, found.asked, real.judge.card.classes)
        return {"label_accuracy": accuracy.overall}
