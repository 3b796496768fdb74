"""Points: a row of numbers each, drawn in the plane, compared as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image

from demist.codecs import Codec, Standardize
from demist.data import Dataset, Tree, load, splits
from demist.data.dataset import Samples
from demist.data.readers.shapes import are_points
from demist.drawing.scatter import round_up, scatter
from demist.evaluation.metrics.points import measure_points
from demist.modalities.modality import Modality, Shape, Wanted

if TYPE_CHECKING:
    from demist.evaluation.report import Report
    from demist.evaluation.ruler import Asked, Ruler


@dataclass(frozen=True)
class Points(Modality):
    """Rows of D numbers: points in the plane or in space, rows of a table."""

    name: ClassVar[str] = "points"
    arrays: ClassVar[str] = "floating-point numbers (N, D)"
    networks: ClassVar[tuple[str, ...]] = ("mlp",)
    drawn: ClassVar[int] = 1000
    sampled: ClassVar[int | None] = 1000
    filmed: ClassVar[int] = 2000

    def claims(self, shape: Shape, dtype: np.dtype[Any]) -> bool:
        """Two axes of floating-point numbers."""
        return are_points(shape, dtype)

    def fits(self, shape: Shape) -> bool:
        """One axis."""
        return len(shape) == 1

    def read(self, path: Path, wanted: Wanted, tree: Tree | None = None) -> Dataset:
        """An array file."""
        return load(str(path), kind=self.name, **wanted.still())

    def splits(self, path: Path, tree: Tree | None = None) -> tuple[str, ...]:
        """As `demist.data.splits`."""
        return splits(str(path), kind=self.name)

    def codec(self, x: Samples) -> Codec:
        """Mean 0 and variance 1."""
        return Standardize.of(np.asarray(x))

    def drawable(self, shape: Shape) -> bool:
        """Paper has two coordinates."""
        return shape[0] <= 2

    def draw(
        self, x: np.ndarray, labels: Sequence[str] = (), columns: int | None = None
    ) -> Image.Image:
        """A scatter or a histogram; labels are not shown."""
        return scatter(x)

    def film(
        self, states: Sequence[np.ndarray], labels: Sequence[str] = (), columns: int | None = None
    ) -> list[Image.Image]:
        """In the scale of the last state."""
        limit = round_up(1.5 * float(np.abs(states[-1]).max()))
        return [scatter(x, limit=limit) for x in states]

    def measure(
        self,
        samples: Mapping[int, np.ndarray],
        ruler: "Ruler",
        asked: "Asked",
        codec: Codec | None = None,
    ) -> list["Report"]:
        """Distances between distributions; points of a class are as good as any."""
        train, test = ruler.train, ruler.test
        return [
            measure_points(x, train.x, test.x, test.labels, seed=seed)
            for seed, x in samples.items()
        ]
