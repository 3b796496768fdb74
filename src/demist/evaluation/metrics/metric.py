"""What a metric must say of itself, so that `demist evaluate` measures and prints it.

A metric is one class in a file of this package, below the base class of what it looks at: images,
points, or images with their captions. Nothing is registered.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from jaxtyping import Int64

from demist.parts import Family

if TYPE_CHECKING:
    from demist.evaluation.metrics.points import HeldOut
    from demist.evaluation.metrics.text_score import Encoder
    from demist.evaluation.reference import Reference, Seen

Need = Literal["images", "features", "spatial", "logits", "labels"]
Some = TypeVar("Some", bound="Metric")


@dataclass(frozen=True)
class Row:
    """How a number is printed.

    Attributes:
        title: Its name in the table.
        better: Which way is better: low, high, as real, or the number that is best.
        sees: What it sees, in a few words.
        digits: After the point.
    """

    title: str
    better: str
    sees: str
    digits: int = 3


@dataclass(frozen=True)
class Found:
    """Images to be measured.

    Attributes:
        part: As many as are compared, N.
        whole: All of them.
        asked: What each of `whole` was asked to show; None if nothing was asked.
    """

    part: "Seen"
    whole: "Seen"
    asked: Int64[np.ndarray, "_"] | None = None


class Metric(abc.ABC):
    """One number, or several that are computed together.

    Attributes:
        name: Of the metric.
        rows: Name of a number in reports -> how it is printed. No other metric has the name.
        place: Where its rows stand in the table; those of equal place by name.
    """

    name: ClassVar[str]
    rows: ClassVar[Mapping[str, Row]]
    place: ClassVar[int] = 1000


class ImageMetric(Metric):
    """A metric of images.

    Attributes:
        needs: What it looks at; where something is missing, it is left out. `spatial` are features
            with their places, `logits` those of the judge, `labels` what the images were asked for.
    """

    needs: ClassVar[tuple[Need, ...]] = ("features",)

    @abc.abstractmethod
    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """The numbers of `rows` for generated images; one that cannot be had may be missing.

        Args:
            found: The images.
            real: Real images, and what is known of them.
        """

    def floor(self, held_out: Found, real: "Reference") -> Mapping[str, float]:
        """The same for test images in the place of generated ones."""
        return self(held_out, real)


class PointMetric(Metric):
    """A metric of points in few dimensions."""

    @abc.abstractmethod
    def __call__(self, points: np.ndarray, real: "HeldOut") -> Mapping[str, float]:
        """The numbers of `rows` for points `(n, d)`; one that cannot be had may be missing."""

    def floor(self, points: np.ndarray, real: "HeldOut") -> Mapping[str, float]:
        """The same for training points in the place of generated ones."""
        return self(points, real)


class TextMetric(Metric):
    """A metric of images and their captions.

    Attributes:
        whole: Whether it looks at the first samples of all seeds together, instead of at each set:
            there a prompt has several images.
    """

    whole: ClassVar[bool] = False

    @abc.abstractmethod
    def __call__(
        self, encoder: "Encoder", images: np.ndarray, texts: Sequence[str]
    ) -> Mapping[str, float]:
        """The numbers of `rows` for uint8 images `(n, c, h, w)`, generated or real."""


METRICS: Family[Metric] = Family("metric", Metric, "evaluation.metrics")
"""Every metric that an evaluation knows."""


def metrics_of(base: type[Some]) -> list[Some]:
    """The metrics below one of the base classes, in the order of the table."""
    found: list[Any] = [cls for cls in METRICS.classes if issubclass(cls, base)]
    return [cls() for cls in sorted(found, key=lambda cls: (cls.place, cls.name))]


def rows_of(base: type[Metric] = Metric) -> dict[str, Row]:
    """The rows of their numbers, in the order of the table."""
    return {key: row for metric in metrics_of(base) for key, row in metric.rows.items()}
