"""Images: bytes in rows and columns, drawn in a grid, judged by what a classifier sees in them."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from demist.codecs import Codec, Pixels
from demist.data import Dataset, Tree, load, splits
from demist.data.dataset import Samples
from demist.data.images.decode import extensions
from demist.data.readers.shapes import are_images
from demist.drawing.grid import image_grid
from demist.errors import UsageError
from demist.evaluation.metrics.metric import TextMetric, metrics_of
from demist.evaluation.metrics.text_score import Encoder
from demist.evaluation.reference import Reference
from demist.evaluation.report import measure
from demist.modalities.modality import Modality, Shape, Wanted
from demist.modalities.through_codec import through_codec

if TYPE_CHECKING:
    from demist.evaluation.report import Report
    from demist.evaluation.ruler import Asked, Ruler

Told = tuple[Encoder, np.ndarray, Sequence[str]]
"""What compares images with captions, numbers of held-out images, and their captions."""
TOGETHER = 200
"""Samples of each seed that are looked at together with those of the others."""
ONE_EACH = (
    "Each prompt has one image, so nothing says how images of one prompt differ: add --seeds 2."
)


@dataclass(frozen=True)
class Images(Modality):
    """Images of one height, width and number of channels, as bytes."""

    name: ClassVar[str] = "images"
    arrays: ClassVar[str] = (
        "(N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3, sides of 4 pixels or more, none "
        "over 8 times the other"
    )
    endings: ClassVar[tuple[str, ...]] = tuple(sorted(extensions()))
    companions: ClassVar[tuple[str, ...]] = (
        ".txt", ".caption", ".json", ".jsonl", ".csv", ".tsv", ".parquet", ".cls", ".lst",
    )  # fmt: skip
    networks: ClassVar[tuple[str, ...]] = ("unet", "dit")
    guidance: ClassVar[float] = 1.5
    spatial: ClassVar[bool] = True
    described: ClassVar[bool] = True
    discrete: ClassVar[bool] = True
    coded: ClassVar[bool] = True
    judged: ClassVar[bool] = True

    def claims(self, shape: Shape, dtype: np.dtype[Any]) -> bool:
        """Numbers with sides like those of images."""
        return are_images(shape, dtype)

    def fits(self, shape: Shape) -> bool:
        """Channels, height and width."""
        return len(shape) == 3

    def read(self, path: Path, wanted: Wanted, tree: Tree | None = None) -> Dataset:
        """All that `demist.data.load` reads."""
        return load(str(path), kind=self.name, tree=tree, **wanted.still())

    def splits(self, path: Path, tree: Tree | None = None) -> tuple[str, ...]:
        """As `demist.data.splits`."""
        return splits(str(path), kind=self.name, tree=tree)

    def codec(self, x: Samples) -> Codec:
        """Bytes over [-1, 1]."""
        return Pixels()

    def drawable(self, shape: Shape) -> bool:
        """Always."""
        return True

    def draw(
        self, x: np.ndarray, labels: Sequence[str] = (), columns: int | None = None
    ) -> Image.Image:
        """A labelled grid."""
        return image_grid(x, labels=labels or None, columns=columns)

    def film(
        self, states: Sequence[np.ndarray], labels: Sequence[str] = (), columns: int | None = None
    ) -> list[Image.Image]:
        """A grid for each state."""
        return [self.draw(x, labels, columns) for x in states]

    def options_of(self, shape: Shape) -> dict[str, Any]:
        """Channels, height and width."""
        channels, height, width = shape
        return {"size": f"{height}x{width}", "channels": channels}

    def measure(
        self,
        samples: Mapping[int, np.ndarray],
        ruler: "Ruler",
        asked: "Asked",
        codec: Codec | None = None,
    ) -> list["Report"]:
        """Features, classes and closeness to the training images; see `demist.evaluation`."""
        if codec is None or codec.lossless:
            return measured(samples, ruler, asked)
        return measured(samples, ruler, asked, partial(through_codec, codec))


def measured(
    samples: Mapping[int, np.ndarray],
    ruler: "Ruler",
    asked: "Asked",
    through: Callable[[Reference, np.ndarray | None, Told | None], dict[str, Any]] | None = None,
) -> list["Report"]:
    """A report for the images of every seed.

    Args:
        samples: Seed -> images, or what else is looked at as such.
        ruler: Training and held-out images above all.
        asked: What the samples were asked to be.
        through: Gives what the held-out images score through a codec, from the reference, their
            classes, and what compares them with captions; None: nothing is lost.

    Raises:
        UsageError: There is no judge.
    """
    train, test, encoder = ruler.train, ruler.test, ruler.encoder
    if ruler.judge is None:
        raise UsageError("images are measured by a judge; give the ruler one")
    expert = ruler.judge(train, test)
    names = expert.card.classes
    real = train.labels is not None and names == train.classes
    generated = min(len(x) for x in samples.values())
    wanted = asked.of(asked.classes, generated) if real else []
    labels = np.array([names.index(name) for name in wanted], np.int64) if wanted else None
    with tqdm(total=1 + len(samples), desc="measuring", unit="set", leave=False,
              disable=not sys.stderr.isatty()) as bar:  # fmt: skip
        reference = Reference.of(
            expert,
            train.x,
            test.x,
            generated=generated,
            extractor=ruler.extractor,
            train_labels=train.labels if real else None,
            test_labels=test.labels if real else None,
            k=max(1, min(5, generated - 1, len(test) - 1)),
        )
        told = None
        if encoder is not None:
            captions = metrics_of(TextMetric)  # type: ignore[type-abstract]
            real_images, texts = test.x[asked.rows], asked.values[asked.captions]
            ceiling = [metric(encoder, real_images, texts) for metric in captions]
            first = np.concatenate([x[:TOGETHER] for x in samples.values()])
            theirs = [
                text
                for x in samples.values()
                for text in asked.of(asked.captions, min(TOGETHER, len(x)))
            ]
            together = {m.name: m(encoder, first, theirs) for m in captions if m.whole}
            told = (encoder, np.array(asked.rows), texts)
        lost = None
        if through is not None:
            lost = through(reference, test.labels if real else None, told)
        bar.update()
        reports = []
        for seed, x in samples.items():
            report = measure(reference, x, labels=labels, seed=seed)
            if encoder is not None:
                texts = asked.of(asked.captions, len(x))
                for metric, best in zip(captions, ceiling, strict=True):
                    values = together.get(metric.name) or metric(encoder, x, texts)
                    for key, value in values.items():
                        report["metrics"][key] = {"value": value, "floor": best.get(key)}
                if len(samples) == 1 and len(x) <= len(asked.rows):
                    report["warnings"].append(ONE_EACH)
                report["protocol"]["captions"] = encoder.recipe
            if lost is not None:
                report["codec"] = lost
            reports.append(report)
            bar.update()
    return reports
