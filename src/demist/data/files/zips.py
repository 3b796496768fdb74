"""Zip archives as one tree of files, each read where it lies. Nothing is ever unpacked to disk."""

import hashlib
import json
import lzma
import os
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from demist.data.files import tree
from demist.data.files.spelling import portable
from demist.data.files.tree import check_size, is_hidden
from demist.data.images.aside import is_image
from demist.data.words import split_word
from demist.errors import DataError, StorageError


@dataclass(frozen=True)
class Zips:
    """The members of one archive, or of all archives in a folder; see `Tree`.

    Attributes:
        path: The archive, or the folder.
        members: Name -> the archive it lies in, and its header. A member of one of several
            archives is called `archive.zip/member`.
        archives: Name of an archive relative to `path` -> the open archive; "" is `path` itself.
        beside: Names of the other files in the folder.
    """

    path: Path
    members: Mapping[str, tuple[str, zipfile.ZipInfo]]
    archives: Mapping[str, zipfile.ZipFile]
    beside: tuple[str, ...] = ()

    @classmethod
    def scan(
        cls, path: Path, archives: Sequence[str] = ("",), beside: Sequence[str] = ()
    ) -> "Zips":
        """List archives.

        Raises:
            DataError: One is damaged or encrypted.
            StorageError: One cannot be read.
        """
        members: dict[str, tuple[str, zipfile.ZipInfo]] = {}
        opened = {}
        for archive in archives:
            opened[archive] = file = _open(path / archive)
            size = (path / archive).stat().st_size
            if sum(info.file_size for info in file.infolist()) > tree.budget(size):
                raise tree.over_budget(path / archive, size)
            for info in file.infolist():
                name = posixpath.normpath("/" + info.filename).lstrip("/")
                if info.is_dir() or is_hidden(name):
                    continue
                if info.flag_bits & 1:
                    raise DataError(f"{path / archive} is encrypted: unpack it, pass the folder")
                members[posixpath.join(archive, name)] = archive, info
        return cls(path, members, opened, tuple(beside))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """See `Tree.names`."""
        return tuple(sorted(self.members))

    def stream(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """See `Tree.stream`."""
        for name in names:
            archive, info = self.members[name]
            yield name, partial(_read, self.archives[archive], info)

    def place(self, name: str) -> str:
        """See `Tree.place`: the archive is no folder, but its name may say which split it is."""
        archive = self.members[name][0]
        inside = name[len(archive) :].lstrip("/")
        return posixpath.join(posixpath.dirname(archive), self._splits.get(archive, ""), inside)

    def stamp(self) -> str:
        """See `Tree.stamp`."""
        stats = {archive: (self.path / archive).stat() for archive in self.archives}
        states = [
            (portable(archive), stat.st_size, stat.st_mtime_ns) for archive, stat in stats.items()
        ]
        digest = hashlib.sha256(os.fsencode(self.path.resolve()))
        digest.update(json.dumps(states).encode())
        return digest.hexdigest()

    @cached_property
    def _splits(self) -> Mapping[str, str]:
        """Archive -> the split that its name speaks of, if all do, or some of different ones."""
        words = {each: split_word(posixpath.basename(each)) for each in self.archives}
        return words if "" not in words.values() or len(set(words.values())) > 2 else {}


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, struct.error) as error:
        raise DataError(f"{path} is a damaged or incomplete archive: {error}") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The content of one member, never more than its header says.

    Raises:
        ValueError: It is damaged, too large or packed in a way that is not known.
    """
    packed = info.file_size > info.compress_size and is_image(info.filename)
    check_size(info.file_size, tree.PICTURE if packed else tree.MAX_FILE)
    try:
        with archive.open(info) as file:
            data = file.read(info.file_size)
    except (
        *(zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError, struct.error),
        *(NotImplementedError, RuntimeError),
    ) as error:
        raise ValueError(f"damaged in the archive: {error}") from None
    if len(data) < info.file_size:
        raise ValueError("it ends early in the archive")
    return data
