"""A folder as a tree of files."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from demist.data.files.tree import check_size, is_hidden
from demist.errors import StorageError


@dataclass(frozen=True)
class Folder:
    """Files below `path`; see `Tree`."""

    path: Path
    names: tuple[str, ...]

    @classmethod
    def scan(cls, path: Path, *, deep: bool = True) -> "Folder":
        """List a folder, with its sub-folders unless `deep` is false.

        Links are followed, except to a folder that contains them.

        Raises:
            StorageError: A folder cannot be listed.
        """
        try:
            return cls(path, tuple(sorted(_walk(path, "", (os.path.realpath(path),), deep))))
        except OSError as error:
            raise StorageError(f"cannot list {error.filename}: {error.strerror}") from None

    def stream(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """See `Tree.stream`."""
        for name in names:
            yield name, partial(_read, self.path / name)

    def place(self, name: str) -> str:
        """See `Tree.place`."""
        return name

    def stamp(self) -> str:
        """See `Tree.stamp`."""
        digest = hashlib.sha256(str(self.path.resolve()).encode())
        for name in self.names:
            stat = (self.path / name).stat()
            digest.update(f"{name}\0{stat.st_size} {stat.st_mtime_ns}\0".encode())
        return digest.hexdigest()


def _walk(path: Path, prefix: str, parents: tuple[str, ...], deep: bool) -> Iterator[str]:
    for entry in os.scandir(path):
        if is_hidden(entry.name):
            continue
        if entry.is_file():
            yield prefix + entry.name
        elif deep and entry.is_dir():
            real = os.path.realpath(entry.path)
            if real not in parents:
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*parents, real), deep)


def _read(path: Path) -> bytes:
    check_size(path.stat().st_size)
    return path.read_bytes()
