"""The rows of an array in a file, a block at a time: memory holds the result, and one block."""

import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from demist.machine.memory import check_memory

BLOCK = 2**24
"""Bytes of a block, about."""

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape, whether the first axis moves fastest, and type."""


@dataclass(frozen=True)
class Rows:
    """An array that is read from its file each time it is gone through.

    Attributes:
        shape: Of the array.
        dtype: Of its numbers.
        blocks: Its rows in their order, some at a time, as new arrays.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return self.shape[0]


def header(file: Any) -> Header:
    """What an array file begins with; reading goes on behind it.

    Raises:
        ValueError: It is no array file, or one of Python objects.
    """
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0}
    found: Header = read.get(version, np.lib.format.read_array_header_2_0)(file)
    if found[2].hasobject:
        raise ValueError("an array of Python objects")
    return found


def rows_of_npy(path: Path, rows: Int64[np.ndarray, "m"]) -> Rows:
    """The rows of a `.npy` file with these numbers, which increase."""
    with path.open("rb") as file:
        shape, _, dtype = header(file)

    def blocks() -> Iterator[np.ndarray]:
        step = _step(shape, dtype)
        for begin in range(0, len(rows), step):
            # Mapped anew each time, so that the pages of the last block are given back.
            yield np.load(path, mmap_mode="r", allow_pickle=False)[rows[begin : begin + step]]

    return Rows((len(rows), *shape[1:]), dtype, blocks)


def rows_of_npz(path: Path, name: str) -> Rows:
    """All rows of an array in a `.npz` file."""

    def blocks() -> Iterator[np.ndarray]:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            shape, fortran, dtype = header(file)
            if fortran and len(shape) > 1:
                check_memory(shape, f"{path}, {name!r},", dtype.itemsize)
                with np.load(path, allow_pickle=False) as whole:
                    yield whole[name]
                return
            step, row = _step(shape, dtype), math.prod(shape[1:]) * dtype.itemsize
            for begin in range(0, shape[0], step):
                count = min(step, shape[0] - begin)
                data = file.read(count * row)
                if len(data) < count * row:
                    raise ValueError(f"{name!r} ends early")
                yield np.frombuffer(data, dtype).reshape(count, *shape[1:])
            file.read(1)  # the end, where its checksum is compared

    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        shape, _, dtype = header(file)
    return Rows(shape, dtype, blocks)


def _step(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return max(1, BLOCK // max(1, math.prod(shape[1:]) * dtype.itemsize))
