"""Arrays that took long to make, kept in the cache folder and read through a memory map.

A file is named by a hash of all that decides its content, so a change of any of it makes another
file. It is written block by block, and sealed: one that was damaged, or put in another's place, is
made again. All of them may be removed at any time.
"""

import contextlib
import hashlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from demist.errors import StorageError, remedy
from demist.io.arrays import sealed_length, write_blocks
from demist.io.files import cache_folder
from demist.io.folders import sweep

KINDS: Mapping[str, str] = {
    "latents": "latents",
    "texts": "text states",
    "vectors": "vectors of images and captions",
}
"""Sub-folder of the cache folder -> what is in it, in words."""


def kept(kind: str, key: str, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> np.ndarray:
    """A float32 array that is in the cache folder, put there first if need be.

    Args:
        kind: Of `KINDS`.
        key: All that decides the content, in words and hashes.
        shape: Of the array, `(N, ...)`.
        blocks: Its rows in order, some at a time, each `(n, ...)`; asked for only if the file is
            missing or damaged.

    Returns:
        A read-only memory map, whose memory is the system's to give and take.

    Raises:
        StorageError: It cannot be written.
    """
    path = _path(kind, key)
    seal = key.encode()
    if sealed_length(path, seal) != shape[0]:
        if path.exists():
            warnings.warn(f"{path} is damaged: its {KINDS[kind]} are made again", stacklevel=2)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            write_blocks(blocks, shape, path, seal=seal)
        except OSError as error:
            raise StorageError(
                f"cannot keep the {KINDS[kind]} in {path.parent}: {error.strerror or error}; "
                f"{remedy(error)}, or set DEMIST_CACHE to another folder"
            ) from None
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def is_kept(kind: str, key: str) -> bool:
    """Whether there is a file of this key; it may be damaged."""
    return _path(kind, key).is_file()


def sizes() -> dict[str, int]:
    """What is kept, in words -> bytes it takes."""
    return {
        words: sum(path.stat().st_size for path in _files(kind)) for kind, words in KINDS.items()
    }


def clear() -> int:
    """Remove all that is kept; a program that is using a file keeps it until it ends.

    Returns:
        How many bytes that gives back.
    """
    freed = 0
    for kind in KINDS:
        for path in _files(kind):
            with contextlib.suppress(OSError):
                size = path.stat().st_size
                path.unlink()
                freed += size
    return freed


def _path(kind: str, key: str) -> Path:
    assert kind in KINDS, kind
    name = hashlib.sha256(f"{kind}/{key}".encode()).hexdigest()[:32]
    return cache_folder() / kind / f"{name}.npy"


def _files(kind: str) -> list[Path]:
    """Files with a name as `_path` gives it, and nothing else that lies there."""
    return sorted((cache_folder() / kind).glob(f"{'[0-9a-f]' * 32}.npy"))
