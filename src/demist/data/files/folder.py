"""A folder as a tree of files."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from demist.data.files.tree import check_size, is_hidden
from demist.errors import StorageError

_VISITS = 3
"""How often a folder is listed at most: links could lead to it in more ways than can be counted."""


@dataclass(frozen=True)
class Folder:
    """Files below `path`; see `Tree`.

    Attributes:
        path: The folder.
        names: See `Tree.names`.
        links: Name of a file that is reached through a link -> another name of the same file, if
            it has one here.
    """

    path: Path
    names: tuple[str, ...]
    links: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def scan(cls, path: Path, *, deep: bool = True) -> "Folder":
        """List a folder, with its sub-folders unless `deep` is false.

        Links are followed, except to a folder that contains them, or to themselves.

        Raises:
            StorageError: A folder cannot be listed.
        """
        try:
            found = dict(_walk(path, deep))
        except OSError as error:
            raise StorageError(f"cannot list {error.filename}: {error.strerror}") from None
        return cls(path, tuple(sorted(found)), _links(found, os.path.realpath(path) + os.sep))

    def stream(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """See `Tree.stream`."""
        for name in names:
            yield name, partial(_read, self.path / name)

    def place(self, name: str) -> str:
        """See `Tree.place`."""
        return name

    def stamp(self) -> str:
        """See `Tree.stamp`."""
        digest = hashlib.sha256(os.fsencode(self.path.resolve()))
        for name in self.names:
            stat = (self.path / name).stat()
            digest.update(os.fsencode(name) + f"\0{stat.st_size} {stat.st_mtime_ns}\0".encode())
        return digest.hexdigest()


def _walk(root: Path, deep: bool) -> Iterator[tuple[str, str]]:
    """Every file's name, and where it really is if a link leads there, else ""."""
    start = os.path.realpath(root)
    visits: Counter[str] = Counter()
    waiting = [("", frozenset([start]), "")]
    while waiting:
        prefix, parents, linked = waiting.pop()
        for entry in sorted(os.scandir(os.path.join(root, prefix)), key=lambda entry: entry.name):
            if is_hidden(entry.name):
                continue
            name, kind = prefix + entry.name, _kind(entry)
            real = linked and os.path.join(linked, entry.name)
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
            if kind == "file":
                yield name, real
            elif kind == "folder" and deep:
                there = real or os.path.join(start, *name.split("/"))
                visits[there] += 1
                if there not in parents and visits[there] <= _VISITS:
                    waiting.append((f"{name}/", parents | {there}, real))


def _links(found: Mapping[str, str], root: str) -> dict[str, str]:
    """See `Folder.links`."""
    links: dict[str, str] = {}
    first: dict[str, str] = {}
    for name in sorted(name for name in found if found[name]):
        real = found[name]
        inside = real.removeprefix(root).replace(os.sep, "/") if real.startswith(root) else ""
        other = inside if inside in found else first.setdefault(real, name)
        if other != name:
            links[name] = other
    return links


def _kind(entry: "os.DirEntry[str]") -> str:
    with suppress(OSError):  # of a link to itself nothing can be asked
        return "file" if entry.is_file() else "folder" if entry.is_dir() else ""
    return ""


def _read(path: Path) -> bytes:
    check_size(path.stat().st_size)
    return path.read_bytes()
