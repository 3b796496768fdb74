"""Arrays in .npy files: written whole or not at all, and never a pickle."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from demist.io.files import atomic

MARK = b"sha256 "
"""Behind the array of a sealed file; 64 hexadecimal digits follow. NumPy reads no further than the
array, so that such a file is read like any other."""
_SEAL = len(MARK) + 64
_BLOCK = 2**20


def write_array(x: np.ndarray, path: Path, *, seal: bool = False) -> None:
    """Replace `path` by an array, atomically; with `seal`, its SHA-256 stands at the end."""
    with atomic(path) as temporary:
        with temporary.open("wb") as file:
            np.save(file, x, allow_pickle=False)
        if seal:
            _seal(temporary)


def write_blocks(
    blocks: Iterable[np.ndarray], shape: tuple[int, ...], path: Path, *, seal: bytes = b""
) -> None:
    """Replace `path` by a sealed float32 array, atomically, with one block at a time in memory.

    Args:
        blocks: Its rows in order, some at a time, each `(n, ...)`.
        shape: Of the array, `(N, ...)`.
        path: Where to.
        seal: Goes into the hash at the end before the content.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with atomic(path) as temporary:
        # Not through a memory map: on a full disk, writing to that kills the process.
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                file.write(np.ascontiguousarray(block, "<f4").data)
        _seal(temporary, seal)


def sealed_length(path: Path, seal: bytes = b"") -> int | None:
    """How many rows the array in a sealed file has; None: there is no such, or it was changed."""
    try:
        content = path.stat().st_size - _SEAL
        with path.open("rb") as file:
            file.seek(max(content, 0))
            end = file.read()
        if content < 0 or end != MARK + _digest(path, content, seal).encode():
            return None
        return len(np.load(path, "r", allow_pickle=False))
    except (OSError, ValueError):
        return None


def _seal(path: Path, seal: bytes = b"") -> None:
    digest = _digest(path, path.stat().st_size, seal)
    with path.open("ab") as file:
        file.write(MARK + digest.encode())


def _digest(path: Path, count: int, before: bytes = b"") -> str:
    """SHA-256 of some bytes and the first `count` of a file."""
    digest = hashlib.sha256(before)
    with path.open("rb") as file:
        while count > 0 and (block := file.read(min(count, _BLOCK))):
            digest.update(block)
            count -= len(block)
    return digest.hexdigest()
