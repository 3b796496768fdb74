"""Arrays in .npy files: written whole or not at all, and never a pickle."""

import hashlib
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
            digest = _digest(temporary, temporary.stat().st_size)
            with temporary.open("ab") as file:
                file.write(MARK + digest.encode())


def sealed_length(path: Path) -> int | None:
    """How many rows the array in a sealed file has; None: there is no such, or it was changed."""
    try:
        content = path.stat().st_size - _SEAL
        with path.open("rb") as file:
            file.seek(max(content, 0))
            seal = file.read()
        if content < 0 or seal != MARK + _digest(path, content).encode():
            return None
        return len(np.load(path, "r", allow_pickle=False))
    except (OSError, ValueError):
        return None


def _digest(path: Path, count: int) -> str:
    """SHA-256 of the first `count` bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while count > 0 and (block := file.read(min(count, _BLOCK))):
            digest.update(block)
            count -= len(block)
    return digest.hexdigest()
