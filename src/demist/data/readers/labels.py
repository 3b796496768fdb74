"""Labels in arrays of NumPy, beside the samples or in a file of their own."""

import os
import posixpath
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from demist.data.dataset import label_indices, numbered
from demist.data.images.further import natural
from demist.data.report import Report
from demist.errors import DataError, DemistError, RefusedError

_NAMES = ("y", "labels", "arr_1", "arr_0")
_CALLED = {
    "images": "labels", "imgs": "labels", "image": "label", "img": "label", "data": "labels",
    "x": "y", "samples": "labels", "features": "labels",
}  # fmt: skip
"""What samples are called -> what their labels are called, besides those of `LABELS`."""


def labels_of(name: str, there: Collection[str]) -> str | None:
    """The array file among those `there` that holds the labels of another one, by their names."""
    folder, slash, base = name.rpartition("/")
    stem, ending = posixpath.splitext(base)
    plain = {other.lower(): other for other in there}
    for part in re.finditer(r"[A-Za-z]+", stem):
        if label := _CALLED.get(part[0].lower()):
            for word in dict.fromkeys((label, "labels", "label", "y", "targets", "target")):
                called = stem[: part.start()] + word + stem[part.end() :]
                for end in dict.fromkeys((ending, *(".npy", ".npz"))):
                    found = plain.get(f"{folder}{slash}{called}{end}".lower())
                    if found is not None and found != name:
                        return found
    return None


@dataclass(frozen=True)
class Labels:
    """Labels of samples.

    Attributes:
        values: (N,) indices into `names`.
        names: Of the classes.
        seen: Where they come from.
    """

    values: Int64[np.ndarray, "n"]
    names: tuple[str, ...]
    seen: Report


def labels_beside(path: Path, count: int) -> Labels | None:
    """Labels from the file beside an array file; None without one.

    Args:
        path: Of the samples.
        count: How many there are.

    Raises:
        DataError: It is damaged, or holds other than one label for each sample.
    """
    with suppress(OSError):
        name = labels_of(path.name, [entry.name for entry in os.scandir(path.parent)])
        if name is not None:
            file = path.with_name(name)
            with readable(file):
                found = np.load(file, allow_pickle=False)
                if not isinstance(found, np.ndarray):
                    names = found.files
                    usual = next((n for n in _NAMES if n in names), None)
                    if len(names) != 1 and not usual:
                        raise DataError(f"{file} has the arrays {', '.join(names)}: keep one")
                    found = found[usual or names[0]]
            labels, classes = to_labels(found, str(file))
            if len(labels) != count:
                raise DataError(f"{file} has {len(labels)} labels, but {path} has {count} samples")
            return Labels(labels, classes, Report(notes=(f"The labels are those of {name}.",)))
    return None


def to_labels(array: np.ndarray, name: str) -> tuple[Int64[np.ndarray, "n"], tuple[str, ...]]:
    """Indices of classes, and their names, of whole numbers, words, or rows with a single one.

    Args:
        array: One row for each sample.
        name: Begins messages.

    Raises:
        DataError: It holds something else.
    """
    numbers = array.dtype.kind in "uifb" and array.ndim > 0
    if numbers and array.ndim == 2 and array.shape[1] > 1:
        if ((array == 0) | (array == 1)).all() and (array.sum(1) == 1).all():
            return array.argmax(1).astype(np.int64), tuple(map(str, range(array.shape[1])))
    elif array.ndim and array.size == len(array):
        flat = array.reshape(-1)
        if array.dtype.kind == "U":
            names = sorted(set(flat.tolist()), key=natural)
            return label_indices(flat.tolist(), names), tuple(names)
        if numbers and np.isfinite(flat).all() and (flat == np.rint(flat)).all():
            labels = flat.astype(np.int64)
            return labels, numbered(labels)
    raise DataError(
        f"{name} has the shape {array.shape} and type {array.dtype}: "
        "labels are one whole number or one word for each sample"
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what NumPy raises on a bad file into our errors."""
    try:
        yield
    except DemistError:
        raise
    except Exception as error:  # zip, zlib, header parser: a damaged file finds them all
        if "object" in str(error).lower():
            raise RefusedError(
                f"{path} holds Python objects, which could run code when loaded: "
                "save numbers only, all images having one shape"
            ) from None
        raise DataError(f"{path} is damaged or incomplete: {error}") from None
