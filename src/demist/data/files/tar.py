"""A compressed tar archive as a tree of files. Nothing is ever unpacked to disk.

A plain one is read by `shards`, where members can be reached at random.

What is compressed can be a thousand times as large: what an archive and an image in it may unpack
to is bounded (see `tree`), and a header to `PIECE`. All this is known before the bytes are asked
for.
"""

import bz2
import gzip
import lzma
import os
import posixpath
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from demist.data.files import tree
from demist.data.files.tree import MAX_FILE, check_size, is_hidden
from demist.data.images.layout import is_image
from demist.errors import DataError
from demist.io.untrusted import open_regular

PIECE = 2**20
"""Bytes read at once; no header of a member is longer."""
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_UNPACK: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


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
                limit = tree.PICTURE if is_image(name) else MAX_FILE
                data = _content(archive, member) if member.size <= limit else b""
                yield name, Held(data, member.size, limit)

    def place(self, name: str) -> str:
        """See `Tree.place`."""
        return name

    def stamp(self) -> None:
        """See `Tree.stamp`: going back is slow."""


@dataclass(frozen=True)
class Held:
    """The content of a member, read already; see `Tree.stream`."""

    data: bytes
    size: int
    limit: int

    def __call__(self) -> bytes:
        check_size(self.size, self.limit)
        return self.data


class Bounded:
    """A stream that refuses to go further than `budget`, or to give more than `PIECE` at once.

    The archive's module reads headers whole, however long they say that they are.
    """

    def __init__(self, file: Any, path: Path, size: int, budget: int) -> None:
        self.file, self.path, self.size, self.budget = file, path, size, budget

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if not 0 <= size <= PIECE:
            raise DataError(f"{self.path} is a damaged archive: a header of {size} bytes")
        self._require(self.file.tell() + size)
        return bytes(self.file.read(size))

    def seek(self, place: int) -> int:
        """Go to a byte."""
        self._require(place)
        return int(self.file.seek(place))

    def tell(self) -> int:
        """Where it is."""
        return int(self.file.tell())

    def _require(self, place: int) -> None:
        if place > self.budget + PIECE:
            raise tree.over_budget(self.path, self.size)


def members_of(path: Path) -> dict[str, tarfile.TarInfo]:
    """The regular members of an archive by name, hidden ones left out, in their order.

    Names are only compared with each other, so ".." or a leading "/" lead nowhere. Links and
    devices are left out. Of two members with one name the later counts, as for tar itself.

    Raises:
        DataError: It is damaged or ends early.
    """
    with _opened(path) as archive:
        members = {_normal(m.name): m for m in archive if m.isreg()}
        if sparse := [name for name, member in members.items() if member.issparse()]:
            raise DataError(
                f"{path} holds {sparse[0]!r} as a sparse file: pack it anew, without holes"
            )
        _check_end(archive)
    return {name: m for name, m in members.items() if not is_hidden(name)}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    data = bytearray()
    while piece := file.read(min(PIECE, member.size - len(data))):
        data += piece
    if len(data) < member.size:
        raise tarfile.ReadError(f"{member.name!r} ends early")
    return bytes(data)


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
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with open_regular(path) as file:
            head = file.read(6)
            file.seek(0)
            if head.startswith(_ZSTANDARD):
                raise DataError(f"{path} is compressed by zstandard, which is not read: unpack it")
            unpack = next((make for magic, make in _UNPACK.items() if head.startswith(magic)), None)
            size = os.fstat(file.fileno()).st_size
            budget = tree.budget(size) if unpack else size
            stream = Bounded(unpack(file) if unpack else file, path, size, budget)
            with tarfile.open(fileobj=stream, mode="r:") as archive:  # type: ignore[call-overload]
                yield archive
    except (
        *(tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error),
        *(ValueError, OverflowError, RecursionError),  # numbers in headers may be anything
    ) as error:
        raise DataError(f"{path} is a damaged or incomplete archive: {error}") from None
