"""What a kind of data must say of itself: how it is read, modelled, drawn and judged.

A modality is one file in this package. All that depends on whether samples are images, points or
something else is asked of it; nobody counts axes.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from PIL import Image

from demist.codecs import Codec
from demist.data import Dataset, Tree
from demist.data.dataset import Samples
from demist.objectives import Decoder, discretised_decoder, gaussian_decoder

if TYPE_CHECKING:
    from demist.evaluation.report import Report
    from demist.evaluation.ruler import Asked, Ruler

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Wanted:
    """What is wanted of the data at a path; see `demist.data.load` for each.

    A modality whose samples are not `spatial` is never asked for a size, channels, background, fit,
    range, columns or level of folders; one that is not `lasting`, never for a rate or seconds.
    """

    size: int | str | tuple[int, int] | None = None
    channels: int | None = None
    background: str = "white"
    fit: str = "crop"
    range: str | None = None
    split: str = "train"
    limit: int | None = None
    max_bad: float = 0.01
    seed: int = 0
    label_column: str | None = None
    caption_column: str | None = None
    class_level: int | None = None
    buckets: str | None = None
    sizes: bool = False
    rate: int | None = None
    seconds: float | None = None

    def still(self) -> dict[str, Any]:
        """What `demist.data.load` knows: all but what is wanted of sounds."""
        return {k: v for k, v in asdict(self).items() if k not in ("rate", "seconds")}


@dataclass(frozen=True)
class Modality(abc.ABC):
    """A kind of data.

    Attributes:
        name: Of many samples, in lower case; `--kind` knows it by this.
        arrays: The arrays that hold it, in words, for messages.
        endings: Of the files that hold it, in lower case with the dot. Array files (.npy, .npz)
            need not be named: `claims` decides on them.
        companions: Endings of files that say more of the files beside them.
        networks: Names of the networks that fit, the usual one first.
        guidance: Scale of guidance, if nobody says.
        spatial: Whether samples are images or alike: they have a size and channels, and may be
            mirrored.
        described: Whether prompts can describe samples.
        lasting: Whether samples last some seconds, at some rate.
        discrete: Whether samples are bytes, whose likelihood is counted in bits per dimension.
        judged: Whether a classifier or another extractor of features can look at them.
        drawn: Samples in an image while training.
        sampled: Samples, if nobody says how many; None: it depends on the conditions.
        filmed: Samples in a film, at most.
    """

    name: ClassVar[str]
    arrays: ClassVar[str]
    endings: ClassVar[tuple[str, ...]] = ()
    companions: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ("mlp",)
    guidance: ClassVar[float] = 1.0
    spatial: ClassVar[bool] = False
    described: ClassVar[bool] = False
    lasting: ClassVar[bool] = False
    discrete: ClassVar[bool] = False
    judged: ClassVar[bool] = False
    drawn: ClassVar[int] = 40
    sampled: ClassVar[int | None] = None
    filmed: ClassVar[int] = 100

    @abc.abstractmethod
    def claims(self, shape: Shape, dtype: np.dtype[Any]) -> bool:
        """Whether an array of N samples with this shape and type, as people save it, is mine."""

    @abc.abstractmethod
    def fits(self, shape: Shape) -> bool:
        """Whether data of one sample has this shape: that of `Dataset.x` without its first axis."""

    @abc.abstractmethod
    def read(self, path: Path, wanted: Wanted, tree: Tree | None = None) -> Dataset:
        """Read a file or folder that holds samples of this kind.

        Args:
            path: Where it is.
            wanted: What is wanted of it.
            tree: The files of a folder or archive, which have been listed already.

        Raises:
            DemistError: It cannot be read, or there is no such split.
        """

    @abc.abstractmethod
    def codec(self, x: Samples) -> Codec:
        """The codec of the data `x`, `(N, ...)`, fitted to it; `x` may stay on the disk."""

    @abc.abstractmethod
    def draw(
        self, x: np.ndarray, labels: Sequence[str] = (), columns: int | None = None
    ) -> Image.Image:
        """Samples on one page.

        Args:
            x: The samples, `(n, ...)`.
            labels: What they show, one each; or none.
            columns: Samples in a row, where there are rows; None: about as many as rows.

        Raises:
            UsageError: They cannot be drawn.
        """

    @abc.abstractmethod
    def film(
        self, states: Sequence[np.ndarray], labels: Sequence[str] = (), columns: int | None = None
    ) -> list[Image.Image]:
        """One page for each of `states`, all in the same scale; the arguments are as in `draw`."""

    @abc.abstractmethod
    def drawable(self, shape: Shape) -> bool:
        """Whether samples of this shape can be drawn."""

    @abc.abstractmethod
    def measure(
        self,
        samples: Mapping[int, np.ndarray],
        ruler: "Ruler",
        asked: "Asked",
        codec: Codec | None = None,
    ) -> list["Report"]:
        """A report for the samples of every seed.

        Args:
            samples: Seed -> samples `(n, ...)`.
            ruler: What they are measured with, training and test data above all.
            asked: What the samples were asked to be.
            codec: The model's. If it loses something, the reports may have an entry `codec`: what
                real samples score through it.
        """

    def looked_at(self, data: Dataset) -> Dataset:
        """The data as images, as which a judge sees it; images are what they are."""
        return data

    def write(self, x: np.ndarray, folder: Path) -> Path | None:
        """Write samples into a new folder, a file each, where files hold more than a page shows.

        Returns:
            The folder; None: the page is all there is to see.
        """
        return None

    def write_together(self, x: np.ndarray, path: Path) -> Path | None:
        """Write all samples into one file.

        Args:
            x: The samples.
            path: Of the file; its ending is replaced by that of this kind of data.

        Returns:
            The file; None: there is none.
        """
        return None

    def splits(self, path: Path, tree: Tree | None = None) -> tuple[str, ...]:
        """Which of train, valid and test `read` finds at a path, without reading a sample."""
        return ("train",)

    def options_of(self, shape: Shape) -> dict[str, Any]:
        """Options of the data section that bring data to `shape`."""
        return {}

    @final
    def decoder(self, codec: Codec) -> Decoder:
        """Likelihood of the data given the last state, for the variational bound."""
        return discretised_decoder if codec.bounds else gaussian_decoder
