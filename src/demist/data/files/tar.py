"""A compressed tar archive as a tree of files. Nothing is ever unpacked to disk.

A plain one is read by `shards`, where members can be reached at random.
"""

import lzma
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from demist.data.files.tree import MAX_FILE, check_size, is_hidden
from demist.errors import DataError


@dataclass(frozen=True)
class Tar:
    """Regular members of the archive `path`; see `Tree`."""

    path: Path
    members: Mapping[str, tarfile.TarInfo]

    @classmethod
    def scan(cls, path: Path) -> "Tar":
        """List an archive.

        Raises:
            DataError: It is damaged or ends early.
        """
        return cls(path, members_of(path))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """See `Tree.names`."""
        return tuple(sorted(self.members))

    def stream(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """See `Tree.stream`; here the order of the archive, since going back is slow."""
        with _opened(self.path) as archive:
            for name in sorted(names, key=lambda name: self.members[name].offset):
                member = self.members[name]
                file = archive.extractfile(member) if member.size <= MAX_FILE else None
                yield name, partial(_content, file.read() if file else b"", member.size)

    def place(self, name: str) -> str:
        """See `Tree.place`."""
        return name

    def stamp(self) -> None:
        """See `Tree.stamp`: going back is slow."""


def members_of(path: Path, mode: Literal["r", "r:"] = "r") -> dict[str, tarfile.TarInfo]:
    """The regular members of an archive by name, hidden ones left out, in their order.

    Names are only compared with each other, so ".." or a leading "/" lead nowhere. Links and
    devices are left out. Of two members with one name the later counts, as for tar itself.

    Raises:
        DataError: It is damaged or ends early.
    """
    with _opened(path, mode) as archive:
        members = {_normal(m.name): m for m in archive if m.isreg()}
        _check_end(archive)
    return {name: m for name, m in members.items() if not is_hidden(name)}


def _content(data: bytes, size: int) -> bytes:
    check_size(size)
    return data


def _normal(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


def _check_end(archive: tarfile.TarFile) -> None:
    """The module takes a damaged header for the end of the archive; the true end is zeros."""
    file = archive.fileobj
    assert file is not None
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError(f"no valid header at byte {archive.offset}")


@contextmanager
def _opened(path: Path, mode: Literal["r", "r:"] = "r") -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode) as archive:
            yield archive
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} is a damaged or incomplete archive: {error}") from None
