"""NumPy files: `.npy` with samples, `.npz` with samples and labels.

Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3. Their sides are at least 4 and
none is over 8 times the other, unless it is said that they are images: (N, 256, 3) is rather a
cloud of 256 points in space, which is not read. Their values are

- integers from 0 to 255, or booleans (black and white);
- floating-point numbers from 0 to 1; or from -1 to 1, if any is negative.

Points are floating-point numbers (N, D) of any size, and are kept as they are; integers are points
only if it is said.

In an `.npz` the samples are called x, images, data or arr_0 and the labels y, labels or arr_1,
with the name of the split before or after (`train_images`, `x_test`) if there is more than one. A
single array may have any name. Without labels in the file, they are those of a file beside it that
is called like it: `y_train.npy` of `x_train.npy`, `a-labels.npz` of `a-imgs.npz`.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from demist.data.dataset import Dataset, choose
from demist.data.readers.labels import labels_beside, readable, to_labels
from demist.data.readers.reader import Reader, Source
from demist.data.words import require_split
from demist.errors import DataError
from demist.machine.memory import check_memory

SHORTEST, STRIP = 4, 8
"""What an image's shorter side has at least; and how many times as long the other is at most."""
ENDINGS, KINDS = (".npy", ".npz"), ("images", "points")
_SAMPLES = ("x", "images", "data", "arr_0")
_LABELS = ("y", "labels", "arr_1")
_SPLITS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}


NPY = b"\x93NUMPY"
"""What an array file begins with."""


def are_images(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array of this shape and type can hardly be anything but images."""
    sides = _sides(shape)
    if dtype.kind not in "uifb" or sides is None or 0 in shape:
        return False
    low, high = min(sides), max(sides)
    return low >= SHORTEST and high <= STRIP * low


def are_points(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array of this shape and type holds points."""
    return len(shape) == 2 and dtype.kind == "f" and 0 not in shape


def head(path: Path, split: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the samples in an array file, which are not read.

    Raises:
        DataError: It is damaged, or has no such split.
        RefusedError: It holds Python objects.
    """
    with readable(path), path.open("rb") as file:
        if path.suffix != ".npz":
            return _head(file)
        with np.load(file, allow_pickle=False) as archive:
            names = {name.removesuffix(".npy") for name in archive.zip.namelist()}
            samples, _ = _names_of(split, names, str(path))
            with archive.zip.open(f"{samples}.npy") as member:
                return _head(member)


def _head(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0}
    shape, _, dtype = read.get(version, np.lib.format.read_array_header_2_0)(file)
    return shape, dtype


def _require_as_many(archive: Any, samples: str, labels: str, path: Path) -> None:
    """Raise DataError unless labels are as many as samples and small; only heads are read."""
    counts = []
    for name in (samples, labels):
        with archive.zip.open(f"{name}.npy") as member:
            shape, dtype = _head(member)
        counts.append(shape[0] if shape else 0)
        size = math.prod(shape) * dtype.itemsize
        if size > archive.zip.getinfo(f"{name}.npy").file_size:
            raise DataError(f"{path} is damaged or incomplete: {name!r} ends early")
    check_memory((size,), str(path))
    if counts[0] != counts[1]:
        raise DataError(f"{path}: {counts[1]} labels for {counts[0]} samples")


def read_npy(path: Path, limit: int | None, seed: int, kind: str | None = None) -> Dataset:
    """Read a `.npy` file, of a long one only the chosen part.

    Args:
        path: Where it is.
        limit: At most so many samples; None: all.
        seed: Of the choice.
        kind: "images" or "points"; None: the shape says it.

    Raises:
        DataError: It is damaged, or holds neither images nor points.
        RefusedError: It holds Python objects, that is, a pickle.
    """
    with readable(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    found = _kind_of(array, str(path), kind)
    count = len(array) if limit is None else min(limit, len(array))
    check_memory((count, *array.shape[1:]), str(path), array.itemsize)
    labels = None if found == "points" else labels_beside(path, len(array))
    rows = choose(len(array), None if labels is None else labels.values, limit, seed)
    x = to_samples(array[rows], str(path), kind)
    if labels is None:
        return Dataset(x)
    return Dataset(x, labels.values[rows], labels.names, seen=labels.seen)


def read_npz(path: Path, split: str, kind: str | None = None) -> Dataset:
    """Read one split of a `.npz` file.

    Args:
        path: Where it is.
        split: Which.
        kind: "images" or "points"; None: the shape says it.

    Raises:
        DataError: It is damaged, has no such split, or holds neither images nor points.
        RefusedError: It holds Python objects, that is, a pickle.
    """
    with readable(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        sizes = {info.filename: info.file_size for info in archive.zip.infolist()}
        arrays = {name for name in archive.files if f"{name}.npy" in sizes}
        samples, labels = _names_of(split, arrays, str(path))
        if labels is not None:
            _require_as_many(archive, samples, labels, path)
        check_memory((sizes[f"{samples}.npy"],), str(path))
        x = to_samples(archive[samples], f"{path}, {samples!r},", kind)
        if labels is not None:
            y, names = to_labels(archive[labels], f"{path}, {labels!r},")
            return Dataset(x, y, names, name=str(path))
    beside = labels_beside(path, len(x)) if x.dtype == np.uint8 else None
    if beside is None:
        return Dataset(x)
    return Dataset(x, beside.values, beside.names, name=str(path), seen=beside.seen)


def to_samples(
    array: np.ndarray, name: str, kind: str | None = None
) -> UInt8[np.ndarray, "n c h w"] | Float32[np.ndarray, "n d"]:
    """Bring images to bytes (N, C, H, W), or points to float32, by the rules above.

    Args:
        array: The samples.
        name: Begins messages.
        kind: "images" or "points"; None: the shape says it.

    Raises:
        DataError: The array holds neither, or values that make no sense.
    """
    if _kind_of(array, name, kind) == "points":
        _check_finite(array, name)
        return array.astype(np.float32)
    if array.ndim == 3:
        array = array[..., None]
    first = array.shape[1] in (1, 3)
    return np.ascontiguousarray(_to_bytes(array if first else np.moveaxis(array, 3, 1), name))


def _sides(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Height and width of images in an array of this shape; None: the shape does not say them."""
    if len(shape) == 3:
        return shape[1], shape[2]
    if len(shape) != 4 or (shape[1] in (1, 3)) == (shape[3] in (1, 3)):
        return None
    return (shape[2], shape[3]) if shape[1] in (1, 3) else (shape[1], shape[2])


def _kind_of(array: np.ndarray, name: str, kind: str | None) -> str:
    """What an array holds, images or points.

    Raises:
        DataError: Neither, or another kind than was said.
    """
    shape, dtype = array.shape, array.dtype
    numbers = dtype.kind in "uifb" and 0 not in shape
    if kind is None:
        found = "images" if are_images(shape, dtype) else "points"
        fits = found == "images" or are_points(shape, dtype)
    else:
        found = kind
        able = {"images": _sides(shape) is not None, "points": len(shape) == 2}
        fits = numbers and able.get(kind, False)
    if fits:
        return found
    raise refusal(shape, dtype, name, kind=kind)


def refusal(
    shape: tuple[int, ...], dtype: np.dtype[Any], name: str, more: str = "", kind: str | None = None
) -> DataError:
    """The error that says why an array of this shape and type is not read, and what to save.

    Args:
        shape: Of the array.
        dtype: Of the array.
        name: Begins the message.
        more: Ends it.
        kind: What the array was said to be.
    """
    numbers = dtype.kind in "uifb" and 0 not in shape
    advice = _advice(shape, kind) if numbers else _RULE
    return DataError(f"{name} has the shape {shape} and type {dtype}{advice}{more}")


_RULE = (
    ": images are numbers (N, H, W), (N, H, W, C) or (N, C, H, W), points are floating-point "
    "numbers (N, D)"
)


def _advice(shape: tuple[int, ...], kind: str | None) -> str:
    """What to do with an array of numbers that is neither images nor points, or not said so."""
    rows = f"({shape[0]}, {math.prod(shape[1:])})"
    if kind == "points" and len(shape) > 2:
        return f", and points are numbers (N, D): save it as {rows}"
    sides = _sides(shape)
    if len(shape) == 4 and sides is None:
        could = "could be the second or the last axis" if shape[1] in (1, 3) else "cannot be found"
        return (
            f", in which the channels (1 or 3) {could}: save images as (N, H, W, C) or (N, C, H, W)"
        )
    if sides is not None:
        return (
            f". Images of {sides[0]} x {sides[1]} pixels? Then say it: --kind images (in Python "
            f'kind="images"). If they are points in space, one row of numbers each, save it as '
            f"{rows}; if it is a single image, as (1, {', '.join(map(str, shape))})"
        )
    if len(shape) == 2 and kind is None:
        return (
            ". If each row is a point, save floating-point numbers, or say it: --kind points (in "
            'Python kind="points"); if each row is an image, save it as (N, H, W)'
        )
    return _RULE


def _check_finite(array: np.ndarray, name: str) -> None:
    if not np.isfinite(array).all():
        raise DataError(f"{name} holds values that are infinite or not a number")


def _to_bytes(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    _check_finite(array, name)
    low, high = array.min(), array.max()
    if array.dtype.kind in "ui":
        if low < 0 or high > 255:
            raise DataError(f"{name} has integers from {low} to {high}; images have 0 to 255")
        return array.astype(np.uint8)
    if low < -1 or high > 1:
        raise DataError(
            f"{name} has values from {low:.4g} to {high:.4g}: save images as bytes 0 to 255, "
            "or as floating-point numbers from 0 to 1 or from -1 to 1"
        )
    scaled = array * 255 if low >= 0 else (array + 1) * 127.5
    return np.rint(scaled).astype(np.uint8)


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
    order: ClassVar[int] = 10

    def recognises(self, source: Source) -> bool:
        return source.head.startswith(NPY)

    def splits(self, source: Source) -> tuple[str, ...]:
        return ("train",)

    def read(self, source: Source) -> Dataset:
        require_split(source.split, ["train"], str(source.path))
        return read_npy(source.path, source.limit, source.seed, source.kind)


@dataclass(frozen=True)
class Npz(Reader):
    """Named arrays of NumPy: samples, perhaps with labels, perhaps in splits."""

    name: ClassVar[str] = "npz"
    order: ClassVar[int] = 11

    def recognises(self, source: Source) -> bool:
        return source.head.startswith(b"PK\x03\x04") and source.path.suffix == ".npz"

    def splits(self, source: Source) -> tuple[str, ...]:
        with readable(source.path), np.load(source.path, allow_pickle=False) as archive:
            return tuple(_by_split(archive.files, str(source.path)))

    def read(self, source: Source) -> Dataset:
        return read_npz(source.path, source.split, source.kind)


def is_arrays(path: Path) -> bool:
    """Whether a file holds arrays of NumPy, whose shape says of what kind they are."""
    source = Source(str(path), path)
    return Npy().recognises(source) or Npz().recognises(source)
