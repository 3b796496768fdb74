"""The value every reader returns: pictures or points, with labels, texts and their origin."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from demist.data.images.lazy import BLOCK, LazyImages
from demist.errors import DataError

if TYPE_CHECKING:
    Samples = Any  # mostly an array; what is asked of it, `LazyImages` gives too
else:
    Samples = UInt8[np.ndarray, "n c h w"] | Float32[np.ndarray, "n d"] | LazyImages


@dataclass(frozen=True)
class BadFile:
    """A file that was skipped, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """N pictures or points, held in memory if it can hold them.

    Attributes:
        x: Pictures (N, C, H, W) with values 0..255, C being 1 (grey) or 3 (RGB); or points (N, D).
            Pictures may be `LazyImages`, which is used like an array.
        labels: (N,) indices into `classes`, or None.
        classes: Names of the classes; may name some that no picture has.
        texts: N captions, or None.
        name: Short, for run names and messages.
        source: Where the data came from; for embedded data also its licence.
        bad: Files that were skipped.
        known_fingerprint: What `fingerprint` gave on an earlier day, or "".
    """

    x: Samples
    labels: Int64[np.ndarray, "_"] | None = None
    classes: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None
    name: str = ""
    source: str = ""
    bad: tuple[BadFile, ...] = ()
    known_fingerprint: str = ""

    def __post_init__(self):
        label = self.name or "the data"
        if self.x.ndim == 4 and self.x.shape[1] not in (1, 3):
            raise DataError(f"{label}: {self.x.shape[1]} channels; pictures have 1 or 3")
        for what, values in (("labels", self.labels), ("texts", self.texts)):
            if values is not None and len(values) != len(self.x):
                raise DataError(f"{label}: {len(values)} {what} for {len(self.x)} samples")
        if self.labels is not None and len(self.labels):
            low, high = self.labels.min(), self.labels.max()
            if low < 0 or high >= len(self.classes):
                raise DataError(
                    f"{label}: labels reach from {low} to {high}, "
                    f"but there are {len(self.classes)} classes, numbered from 0"
                )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def stored(self) -> bool:
        """Whether the pictures stay on the disk, because memory would not hold them."""
        return isinstance(self.x, LazyImages)

    def subset(self, indices: Int64[np.ndarray, "m"]) -> "Dataset":
        """The samples at `indices`, in that order."""
        return replace(
            self,
            x=self.x.take(indices, axis=0),
            labels=None if self.labels is None else self.labels[indices],
            texts=None if self.texts is None else tuple(self.texts[i] for i in indices),
            known_fingerprint="",
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the shapes, samples, labels and texts, in hexadecimal."""
        if self.known_fingerprint:
            return self.known_fingerprint
        known = self.x.digest if isinstance(self.x, LazyImages) else None
        digest = known.copy() if known else samples_digest(self.x.dtype, self.x.shape)
        for begin in range(0, 0 if known else len(self.x), BLOCK):
            digest.update(np.ascontiguousarray(self.x[begin : begin + BLOCK]).data)
        if self.labels is not None:
            digest.update(b"labels" + self.labels.astype("<i8").tobytes())
        for text in self.texts or ():
            digest.update(hashlib.sha256(text.encode()).digest())
        return digest.hexdigest()


def samples_digest(dtype: np.dtype, shape: Sequence[int]) -> Any:
    """The beginning of a fingerprint, to be updated by all samples in their order."""
    return hashlib.sha256(f"{dtype}{tuple(shape)}".encode())


def choose(
    count: int, labels: Int64[np.ndarray, "n"] | None, limit: int | None, seed: int
) -> Int64[np.ndarray, "m"]:
    """Which of `count` samples to keep: `limit` of them, as evenly over the classes as can be.

    A pure function of its arguments. A larger limit keeps what a smaller one kept. Increasing.
    """
    if limit is None or limit >= count:
        return np.arange(count)
    order = np.random.default_rng(seed).permutation(count)
    if labels is not None:
        order = order[np.argsort(_rank_in_class(labels[order]), kind="stable")]
    return np.sort(order[:limit])


def _rank_in_class(labels: np.ndarray) -> np.ndarray:
    """How many earlier entries have the same label."""
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank


def label_indices(values: Sequence[str], classes: Sequence[str]) -> Int64[np.ndarray, "n"]:
    """Positions of the class names `values` in `classes`."""
    position = {name: index for index, name in enumerate(classes)}
    return np.array([position[value] for value in values], np.int64)


def numbered(labels: Int64[np.ndarray, "n"]) -> tuple[str, ...]:
    """Class names "0", "1", ... for labels that are numbers."""
    count = int(labels.max(initial=-1)) + 1
    if count > 100_000:
        raise DataError(f"a label is {count - 1}: number the classes from 0, without large gaps")
    return tuple(map(str, range(count)))
