"""Arrays in .npy files: written whole or not at all, and never a pickle."""

from pathlib import Path

import numpy as np

from demist.io.files import atomic


def write_array(x: np.ndarray, path: Path) -> None:
    """Replace `path` by an array, atomically."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, x, allow_pickle=False)


def length(path: Path) -> int | None:
    """How many rows the array in a file has; None: there is no whole array."""
    try:
        return len(np.load(path, "r", allow_pickle=False))
    except (OSError, ValueError):
        return None
