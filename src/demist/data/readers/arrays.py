"""NumPy files: `.npy` with samples, `.npz` with samples and labels.

Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3, or (N, H, W, 4) with
transparency. Their sides are at least 4 and none is over 8 times the other, unless it is said that
they are images: (N, 256, 3) is rather a cloud of 256 points in space, which is not read. Their
values are bytes, booleans (black and white), or numbers of a range that `levels` finds in all of
them; of a further split in that of the training data.

Points are floating-point numbers (N, D) of any size, and are kept as they are; integers are points
only if it is said.

In an `.npz` the samples are called x, images, data or arr_0 and the labels y, labels or arr_1,
with the name of the split before or after (`train_images`, `x_test`) if there is more than one. A
single array may have any name. Without labels in the file, they are those of a file beside it that
is called like it: `y_train.npy` of `x_train.npy`, `a-labels.npz` of `a-imgs.npz`.
"""

import math
import posixpath
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from demist.data.dataset import Dataset, choose
from demist.data.images.levels import WHOLE, Levels, in_words, to_bytes
from demist.data.images.store import Reach
from demist.data.images.tally import dark
from demist.data.readers.blocks import Header, Rows, header, rows_of_npy, rows_of_npz
from demist.data.readers.labels import labels_beside, readable, to_labels
from demist.data.readers.reader import Reader, Source
from demist.data.readers.shapes import kind_of, sides_of
from demist.data.report import Report
from demist.data.words import require_split
from demist.errors import DataError
from demist.machine.memory import check_memory

ENDINGS, KINDS = (".npy", ".npz"), ("images", "points")
_SAMPLES = ("x", "images", "data", "arr_0")
_LABELS = ("y", "labels", "arr_1")
_SPLITS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}


BYTES = WHOLE[0]
NPY = b"\x93NUMPY"
"""What an array file begins with."""


def head(path: Path, split: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the samples in an array file, which are not read.

    Raises:
        DataError: It is damaged, or has no such split.
        RefusedError: It holds Python objects.
    """
    with readable(path), path.open("rb") as file:
        if path.suffix != ".npz":
            return _shape(header(file))
        with np.load(file, allow_pickle=False) as archive:
            names = {name.removesuffix(".npy") for name in archive.zip.namelist()}
            samples, _ = _names_of(split, names, str(path))
            with archive.zip.open(f"{samples}.npy") as member:
                return _shape(header(member))


def _shape(found: Header) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return found[0], found[2]


def _require_as_many(archive: Any, samples: str, labels: str, path: Path) -> None:
    """Raise DataError unless labels are as many as samples and small; only heads are read."""
    counts = []
    for name in (samples, labels):
        with archive.zip.open(f"{name}.npy") as member:
            shape, dtype = _shape(header(member))
        counts.append(shape[0] if shape else 0)
        size = math.prod(shape) * dtype.itemsize
        if size > archive.zip.getinfo(f"{name}.npy").file_size:
            raise DataError(f"{path} is damaged or incomplete: {name!r} ends early")
    check_memory((size,), str(path))
    if counts[0] != counts[1]:
        raise DataError(f"{path}: {counts[1]} labels for {counts[0]} samples")


def read_npy(source: Source) -> Dataset:
    """Read a `.npy` file, of a long one only the chosen part.

    Raises:
        DataError: It is damaged, or holds neither images nor points.
        RefusedError: It holds Python objects, that is, a pickle.
    """
    path, name = source.path, str(source.path)
    with readable(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        shape, dtype = array.shape, array.dtype
    found = kind_of(shape, dtype, name, source.kind)
    labels = None if found == "points" else labels_beside(path, shape[0])
    rows = choose(shape[0], None if labels is None else labels.values, source.limit, source.seed)
    with readable(path):
        x, seen = to_samples(rows_of_npy(path, rows), name, source)
    if labels is None:
        return Dataset(x, seen=seen)
    return Dataset(x, labels.values[rows], labels.names, seen=_both(seen, labels.seen))


def read_npz(source: Source) -> Dataset:
    """Read one split of a `.npz` file.

    Raises:
        DataError: It is damaged, has no such split, or holds neither images nor points.
        RefusedError: It holds Python objects, that is, a pickle.
    """
    path = source.path
    with readable(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        members = {info.filename for info in archive.zip.infolist()}
        arrays = {name for name in archive.files if f"{name}.npy" in members}
        by_split = _by_split(arrays, str(path))
        require_split(source.split, by_split, str(path))
        samples, labels = by_split[source.split]
        if labels is not None:
            _require_as_many(archive, samples, labels, path)
        trained = by_split.get("train", (samples, None))[0]
        x, seen = to_samples(
            rows_of_npz(path, samples),
            f"{path}, {samples!r},",
            source,
            rows_of_npz(path, trained),
        )
        if labels is not None:
            y, names = to_labels(archive[labels], f"{path}, {labels!r},")
            return Dataset(x, y, names, name=str(path), seen=seen)
    beside = labels_beside(path, len(x)) if x.dtype == np.uint8 else None
    if beside is None:
        return Dataset(x, seen=seen)
    return Dataset(x, beside.values, beside.names, name=str(path), seen=_both(seen, beside.seen))


def _both(pixels: Report, labels: Report) -> Report:
    """What was seen of the samples and of their labels."""
    notes = (*labels.notes, *pixels.notes)
    return replace(labels, converted=pixels.converted, notes=notes)


def to_samples(
    rows: Rows, name: str, source: Source, trained: Rows | None = None
) -> tuple[UInt8[np.ndarray, "n c h w"] | Float32[np.ndarray, "n d"], Report]:
    """Bring images to bytes (N, C, H, W), or points to float32, by the rules above.

    Args:
        rows: The samples.
        name: Begins messages.
        source: Says what they are, and their range.
        trained: The training images, whose range counts; None: these are they.

    Returns:
        The samples, and what was seen of them.

    Raises:
        DataError: The array holds neither, or values that make no sense.
    """
    count, shape = len(rows), rows.shape[1:]
    if kind_of(rows.shape, rows.dtype, name, source.kind) == "points":
        check_memory(rows.shape, name, 4)
        points, begin = np.empty(rows.shape, np.float32), 0
        for block in rows.blocks():
            _check_finite(block, name)
            points[begin : begin + len(block)] = block
            begin += len(block)
        return points, Report()
    first = len(shape) == 3 and shape[0] in (1, 3)
    sides, channels = sides_of(rows.shape) or (0, 0), math.prod(shape)
    channels //= sides[0] * sides[1]
    check_memory((count, channels, *sides), name)
    levels, reach = source.rules.levels, Reach()
    if levels is None and rows.dtype.kind != "b":
        reach = _reach(rows if trained is None else trained, name)
        levels = _levels(reach, rows.dtype, name)
    x, begin = np.empty((count, channels, *sides), np.uint8), 0
    low, high = 255, 0
    for block in rows.blocks():
        _check_finite(block, name)
        made = _to_bytes(block, levels)
        made = made if first else made.reshape(len(block), *sides, channels).transpose(0, 3, 1, 2)
        x[begin : begin + len(block)] = made
        begin += len(block)
        low, high = min(low, int(made.min())), max(high, int(made.max()))
    words = reach.in_words(levels) or (in_words(levels) if levels else "")
    converted = {} if levels in (None, BYTES) else {words: count}
    return x, Report(converted=converted, notes=dark(low, high))


def _reach(rows: Rows, name: str) -> Reach:
    """How far the numbers of an array reach."""
    reach = Reach()
    for block in rows.blocks():
        _check_finite(block, name)
        reach.extend(float(block.min()), float(block.max()), block.dtype.kind in "ui")
    return reach


def _levels(reach: Reach, dtype: np.dtype[Any], name: str) -> Levels:
    """What is black and white in an array whose numbers reach so far."""
    if dtype == np.uint8 and (reach.low, reach.high) != (0, 1):
        return BYTES
    return reach.levels(name)


def _to_bytes(block: np.ndarray, levels: Levels | None) -> UInt8[np.ndarray, "..."]:
    if levels is None:
        return block.astype(np.uint8) * np.uint8(255)
    if levels == BYTES and block.dtype.kind in "ui":
        return block.astype(np.uint8, copy=False)
    return to_bytes(block, levels)


def _check_finite(array: np.ndarray, name: str) -> None:
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds values that are infinite or not a number")


def _names_of(split: str, arrays: Collection[str], path: str) -> tuple[str, str | None]:
    """Names of the samples and of the labels, if any."""
    by_split = _by_split(arrays, path)
    require_split(split, by_split, path)
    return by_split[split]


def _by_split(arrays: Collection[str], path: str) -> dict[str, tuple[str, str | None]]:
    """Split -> names of its samples and of its labels, if any."""
    by_split = {
        _SPLITS[word]: (samples, _first(arrays, _of_split(_LABELS, word)))
        for word in _SPLITS
        if (samples := _first(arrays, _of_split(_SAMPLES, word)))
    }
    plain = next(iter(arrays)) if len(arrays) == 1 else _first(arrays, _SAMPLES)
    if not by_split and plain:
        by_split = {"train": (plain, _first(arrays, _LABELS))}
    if not by_split:
        raise DataError(
            f"{path} has no array called {', '.join(_SAMPLES)}; it has "
            f"{', '.join(sorted(arrays)) or 'none'}"
        )
    return by_split


def _of_split(names: tuple[str, ...], word: str) -> tuple[str, ...]:
    return tuple(f"{name}_{word}" for name in names) + tuple(f"{word}_{name}" for name in names)


def _first(arrays: Collection[str], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in arrays), None)


@dataclass(frozen=True)
class Npy(Reader):
    """One array of NumPy: images, or points."""

    name: ClassVar[str] = "npy"
    ranged: ClassVar[bool] = True
    order: ClassVar[int] = 10

    def recognises(self, source: Source) -> bool:
        return source.head.startswith(NPY)

    def splits(self, source: Source) -> tuple[str, ...]:
        return ("train",)

    def read(self, source: Source) -> Dataset:
        require_split(source.split, ["train"], str(source.path))
        return read_npy(source)


@dataclass(frozen=True)
class Npz(Reader):
    """Named arrays of NumPy: samples, perhaps with labels, perhaps in splits."""

    name: ClassVar[str] = "npz"
    ranged: ClassVar[bool] = True
    order: ClassVar[int] = 11

    def recognises(self, source: Source) -> bool:
        return source.head.startswith(b"PK\x03\x04") and source.path.suffix == ".npz"

    def splits(self, source: Source) -> tuple[str, ...]:
        with readable(source.path), np.load(source.path, allow_pickle=False) as archive:
            return tuple(_by_split(archive.files, str(source.path)))

    def read(self, source: Source) -> Dataset:
        return read_npz(source)


def called_arrays(name: str) -> bool:
    """Whether a file of this name holds arrays, by its ending."""
    return posixpath.splitext(name)[1].lower() in ENDINGS


def is_arrays(path: Path) -> bool:
    """Whether a file holds arrays of NumPy, whose shape says of what kind they are."""
    source = Source(str(path), path)
    return Npy().recognises(source) or Npz().recognises(source)
