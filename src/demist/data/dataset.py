"""The value every reader returns: images or points, columns of what is known of each, an origin."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from demist.data.column import Column
from demist.data.images.buckets import Bucketed
from demist.data.images.lazy import BLOCK, LazyImages
from demist.data.report import Report, bad_files
from demist.data.sounds.clips import Clips
from demist.errors import DataError

if TYPE_CHECKING:
    Samples = Any  # mostly an array; what is asked of it, `LazyImages` gives too
else:
    Samples = (
        UInt8[np.ndarray, "n c h w"] | Float32[np.ndarray, "n ..."] | LazyImages | Bucketed | Clips
    )


LABEL, TEXT = "label", "text"
"""The usual columns of classes and of captions."""

_OPEN: Any = object()
"""Stands for an argument that was not given."""

SHORT = {LABEL: "labels", TEXT: "texts"}
"""What they are called in messages."""


@dataclass(frozen=True)
class BadFile:
    """A file that was skipped, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False, init=False)
class Dataset:
    """N samples, held in memory if it can hold them, and what is known of each.

    Attributes:
        x: What is generated. Images (N, C, H, W) with values 0..255, C being 1 (grey), 3 (RGB) or
            4 (RGBA); or other data as float32, such as points (N, D). Images may be `LazyImages`,
            which is used like an array, or `Bucketed`, of several shapes; sounds are `Clips`.
        columns: Name -> what else is known of every sample; any of them may condition `x`.
        name: Short, for run names and messages.
        source: Where the data came from; for embedded data also its licence.
        bad: Files that were skipped.
        known_fingerprint: What `fingerprint` gave on an earlier day, further columns than classes
            and captions left out, or "".
        kind: Name of its modality, perhaps with options, as in "sounds:rate=8000"; "": the shape
            of `x` says it.
        unread: Ending -> how many files with it were found and not looked at.
        seen: What the reader saw of the files; `report` completes it.
    """

    x: Samples
    columns: Mapping[str, Column]
    name: str
    source: str
    bad: tuple[BadFile, ...]
    known_fingerprint: str
    kind: str
    unread: Mapping[str, int]
    seen: Report

    def __init__(
        self,
        x: Samples,
        labels: Int64[np.ndarray, "_"] | None = _OPEN,
        classes: tuple[str, ...] = (),
        texts: tuple[str, ...] | None = _OPEN,
        name: str = "",
        source: str = "",
        bad: tuple[BadFile, ...] = (),
        known_fingerprint: str = "",
        columns: Mapping[str, Column] | None = None,
        kind: str = "",
        unread: Mapping[str, int] | None = None,
        seen: Report | None = None,
    ) -> None:
        """Samples with their columns.

        Args:
            x: As the attribute.
            labels: Short for the column `label` of kind class: (N,) indices into `classes`; None
                removes it from `columns`.
            classes: Names of the classes; may name some that no sample has.
            texts: Short for the column `text` of kind text: N captions; None removes it.
            name: As the attribute.
            source: As the attribute.
            bad: As the attribute.
            known_fingerprint: As the attribute.
            columns: All other columns.
            kind: As the attribute.
            unread: As the attribute.
            seen: As the attribute.

        Raises:
            DataError: A column does not fit the samples.
        """
        made = dict(columns or {})
        if labels is not _OPEN:
            made.pop(LABEL, None)
            if labels is not None:
                made[LABEL] = Column("class", labels, tuple(classes))
        if texts is not _OPEN:
            made.pop(TEXT, None)
            if texts is not None:
                made[TEXT] = Column("text", tuple(texts))
        fields = {
            "x": x, "columns": made, "name": name, "source": source, "bad": bad,
            "known_fingerprint": known_fingerprint, "kind": kind, "unread": dict(unread or {}),
            "seen": seen or Report(),
        }  # fmt: skip
        for key, value in fields.items():
            object.__setattr__(self, key, value)
        where = name or "the data"
        if x.dtype == np.uint8 and x.shape[1] not in (1, 3, 4):
            raise DataError(f"{where}: {x.shape[1]} channels; images have 1, 3 or 4")
        for key, column in made.items():
            words = SHORT.get(key, f"values of {key!r}")
            if len(column) != len(x):
                raise DataError(f"{where}: {len(column)} {words} for {len(x)} samples")
            column.require_sane(f"{where}: {words}")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def labels(self) -> Int64[np.ndarray, "_"] | None:
        """Values of the column `label`: (N,) indices into `classes`, or None."""
        return self.columns[LABEL].values if LABEL in self.columns else None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the column `label`."""
        return self.columns[LABEL].names if LABEL in self.columns else ()

    @property
    def texts(self) -> tuple[str, ...] | None:
        """Values of the column `text`: N captions, or None."""
        return self.columns[TEXT].values if TEXT in self.columns else None

    @property
    def lazy(self) -> bool:
        """Whether the samples stay on the disk, because memory would not hold them."""
        return isinstance(self.x, LazyImages) or (isinstance(self.x, Clips) and self.x.lazy)

    @property
    def report(self) -> Report:
        """What was understood of the user's files: `report.paragraph()` says it."""
        images, notes = self.x.dtype == np.uint8, self.seen.notes
        several = self.x if isinstance(self.x, Bucketed) else None
        if several is not None:
            notes = tuple(dict.fromkeys([*notes, several.words(self.seen.before)]))
        classes = {}
        if self.labels is not None:
            counts = np.bincount(self.labels, minlength=len(self.classes))
            classes = dict(zip(self.classes, counts.tolist(), strict=True))
        unread = {**self.seen.unread, **self.unread}
        return replace(
            self.seen,
            count=len(self),
            what=self.kind.partition(":")[0] or ("images" if images else "samples"),
            classes=classes,
            captions=len(self.texts or ()),
            columns=self.seen.columns or tuple(c for c in self.columns if c not in SHORT),
            after=self.x.shape[1:] if images and several is None else None,
            unread=unread,
            notes=notes,
            **bad_files(file.path for file in self.bad),
        )

    def subset(self, indices: Int64[np.ndarray, "m"]) -> "Dataset":
        """The samples at `indices`, in that order."""
        return replace(
            self,
            x=self.x.take(indices, axis=0),
            columns={name: column.take(indices) for name, column in self.columns.items()},
            known_fingerprint="",
        )

    def divided(self, rows: Int64[np.ndarray, "m"]) -> "tuple[Dataset, Dataset]":
        """All other samples, and those at `rows`, which increase; both in their order.

        Samples in memory are moved, not copied, so that they need no memory twice: this data set
        must not be used any more.
        """
        usual, left = self._usual, np.delete(np.arange(len(self)), rows)
        x, taken = self.x, self.x.take(rows, axis=0)
        if isinstance(x, LazyImages | Bucketed | Clips) or not x.flags.writeable:
            x = x.take(left, axis=0)
        else:
            for begin in range(0, len(left), BLOCK):
                some = left[begin : begin + BLOCK]
                x[begin : begin + len(some)] = x[some]
            x = x[: len(left)]
        digest = hashlib.sha256(usual.encode() + rows.astype("<i8").tobytes())
        parts = []
        for word, these, samples in ((b"others", left, x), (b"these", rows, taken)):
            known = digest.copy()
            known.update(word)
            columns = {name: column.take(these) for name, column in self.columns.items()}
            parts.append(
                replace(self, x=samples, columns=columns, known_fingerprint=known.hexdigest())
            )
        return parts[0], parts[1]

    def with_labels(self, labels: Int64[np.ndarray, "_"], classes: tuple[str, ...]) -> "Dataset":
        """The same samples with these classes in the column `label`."""
        columns = {**self.columns, LABEL: Column("class", labels, classes)}
        return replace(self, columns=columns, known_fingerprint="")

    def only(self, names: Collection[str]) -> "Dataset":
        """The same with these columns, and the usual ones of classes and captions, alone."""
        kept = {k: c for k, c in self.columns.items() if k in names or k in SHORT}
        return replace(self, columns=kept, seen=self.report)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the shapes, samples and columns, in hexadecimal."""
        further = sorted(self.columns.keys() - SHORT.keys())
        if not further:
            return self._usual
        digest = hashlib.sha256(self._usual.encode())
        for name in further:
            digest.update(name.encode())
            self.columns[name].update(digest)
        return digest.hexdigest()

    @cached_property
    def _usual(self) -> str:
        """The fingerprint but for further columns."""
        if self.known_fingerprint:
            return self.known_fingerprint
        known = self.x.digest if isinstance(self.x, LazyImages | Bucketed | Clips) else None
        digest = known.copy() if known else samples_digest(self.x.dtype, self.x.shape)
        for begin in range(0, 0 if known else len(self.x), BLOCK):
            digest.update(np.ascontiguousarray(self.x[begin : begin + BLOCK]).data)
        if self.labels is not None:
            digest.update(b"labels" + self.labels.astype("<i8").tobytes())
        for text in self.texts or ():
            digest.update(hashlib.sha256(text.encode()).digest())
        return str(digest.hexdigest())


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
        order = order[np.argsort(rank_in_class(labels[order]), kind="stable")]
    return np.sort(order[:limit])


def rank_in_class(labels: np.ndarray) -> np.ndarray:
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
