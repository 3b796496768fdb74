"""NumPy files: `.npy` with samples, `.npz` with samples and labels.

Pictures are (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3. Their values are

- integers from 0 to 255, or booleans (black and white);
- floating-point numbers from 0 to 1; or from -1 to 1, if any is negative.

Points are floating-point numbers (N, D) of any size, and are kept as they are.

In an `.npz` the samples are called x, images, data or arr_0 and the labels y, labels or arr_1,
with the name of the split before or after (`train_images`, `x_test`) if there is more than one. A
single array may have any name.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from demist.data.dataset import Dataset, choose, numbered
from demist.data.images.layout import require_split
from demist.errors import DataError, DemistError, RefusedError
from demist.machine.memory import check_memory

_SAMPLES = ("x", "images", "data", "arr_0")
_LABELS = ("y", "labels", "arr_1")
_SPLITS = {"train": "train", "valid": "valid", "val": "valid", "test": "test"}


def read_npy(path: Path, limit: int | None, seed: int) -> Dataset:
    """Read a `.npy` file, of a long one only the chosen part.

    Raises:
        DataError: It is damaged, or holds neither pictures nor points.
        RefusedError: It holds Python objects, that is, a pickle.
    """
    with _readable(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_samples(array, str(path))
    count = len(array) if limit is None else min(limit, len(array))
    check_memory((count, *array.shape[1:]), str(path), array.itemsize)
    return Dataset(to_samples(array[choose(len(array), None, limit, seed)], str(path)))


def read_npz(path: Path, split: str) -> Dataset:
    """Read one split of a `.npz` file.

    Raises:
        DataError: It is damaged, has no such split, or holds neither pictures nor points.
        RefusedError: It holds Python objects, that is, a pickle.
    """
    with _readable(path), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        sizes = {info.filename: info.file_size for info in archive.zip.infolist()}
        arrays = {name for name in archive.files if f"{name}.npy" in sizes}
        samples, labels = _names_of(split, arrays, str(path))
        check_memory((sizes[f"{samples}.npy"],), str(path))
        x = to_samples(archive[samples], f"{path}, {samples!r},")
        if labels is None:
            return Dataset(x)
        y = _to_labels(archive[labels], f"{path}, {labels!r},")
    return Dataset(x, y, numbered(y), name=str(path))


def to_samples(
    array: np.ndarray, name: str
) -> UInt8[np.ndarray, "n c h w"] | Float32[np.ndarray, "n d"]:
    """Bring pictures to bytes (N, C, H, W), or points to float32, by the rules above."""
    _check_samples(array, name)
    if array.ndim == 2:
        _check_finite(array, name)
        return array.astype(np.float32)
    if array.ndim == 3:
        array = array[..., None]
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first == last:
        raise DataError(
            f"{name} has the shape {array.shape}, in which the channels (1 or 3) "
            f"{'could be the second or the last axis' if first else 'cannot be found'}: "
            "save it as (N, H, W, C) or (N, C, H, W)"
        )
    return np.ascontiguousarray(_to_bytes(array if first else np.moveaxis(array, 3, 1), name))


def _check_samples(array: np.ndarray, name: str) -> None:
    pictures = array.ndim in (3, 4) and array.dtype.kind in "uifb"
    points = array.ndim == 2 and array.dtype.kind == "f"
    if not (pictures or points) or 0 in array.shape:
        raise DataError(
            f"{name} has the shape {array.shape} and type {array.dtype}: pictures are numbers "
            "(N, H, W), (N, H, W, C) or (N, C, H, W), points are floating-point numbers (N, D)"
        )


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
            raise DataError(f"{name} has integers from {low} to {high}; pictures have 0 to 255")
        return array.astype(np.uint8)
    if low < -1 or high > 1:
        raise DataError(
            f"{name} has values from {low:.4g} to {high:.4g}: save pictures as bytes 0 to 255, "
            "or as floating-point numbers from 0 to 1 or from -1 to 1"
        )
    scaled = array * 255 if low >= 0 else (array + 1) * 127.5
    return np.rint(scaled).astype(np.uint8)


def _to_labels(array: np.ndarray, name: str) -> Int64[np.ndarray, "n"]:
    if array.dtype.kind not in "ui" or array.size != len(array):
        raise DataError(
            f"{name} has the shape {array.shape} and type {array.dtype}: "
            "labels are one whole number for each sample"
        )
    return array.reshape(-1).astype(np.int64)


def _names_of(split: str, arrays: Collection[str], path: str) -> tuple[str, str | None]:
    """Names of the samples and of the labels, if any."""
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
    require_split(split, by_split, path)
    return by_split[split]


def _of_split(names: tuple[str, ...], word: str) -> tuple[str, ...]:
    return tuple(f"{name}_{word}" for name in names) + tuple(f"{word}_{name}" for name in names)


def _first(arrays: Collection[str], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in arrays), None)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what NumPy raises on a bad file into our errors."""
    try:
        yield
    except DemistError:
        raise
    except Exception as error:  # zip, zlib, header parser: a damaged file finds them all
        if "object" in str(error).lower():
            raise RefusedError(
                f"{path} holds Python objects, which could run code when loaded: "
                "save numbers only, all pictures having one shape"
            ) from None
        raise DataError(f"{path} is damaged or incomplete: {error}") from None
