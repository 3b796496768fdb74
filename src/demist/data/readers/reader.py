"""What every reader of a format is: does it know this, and what is in it?"""

import abc
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from demist.data.dataset import Dataset
from demist.data.files.folder import Folder
from demist.data.files.packed import packed_in
from demist.data.files.shards import Shards, is_compressed
from demist.data.files.tar import Tar
from demist.data.files.tree import Tree
from demist.data.files.zips import Zips
from demist.data.images.metadata import Asked
from demist.data.images.rules import Rules
from demist.errors import DataError, StorageError


@dataclass(frozen=True)
class Source:
    """What was named, and what is wanted of it.

    Attributes:
        text: What was typed.
        path: Where that is; of a built-in set nothing lies there.
        split: "train", "valid" or "test".
        rules: For decoding images.
        limit: At most so many samples; a reader need not heed it.
        max_bad: Largest fraction of files that may be unreadable.
        seed: Of the choice for `limit`, and of what is drawn.
        kind: Name of the kind of data, where that was said.
        listed: The files at `path`, if they have been listed already.
        asked: What was said of columns and folders of images.
    """

    text: str
    path: Path
    split: str = "train"
    rules: Rules = Rules()  # noqa: RUF009 (a frozen value)
    limit: int | None = None
    max_bad: float = 0.01
    seed: int = 0
    kind: str | None = None
    listed: Tree | None = None
    asked: Asked = Asked()  # noqa: RUF009 (a frozen value)

    @cached_property
    def head(self) -> bytes:
        """The first bytes of a file; none of a folder."""
        return b"" if self.path.is_dir() else first_bytes(self.path)

    @cached_property
    def tree(self) -> Tree | None:
        """The files of a folder, an archive or a folder of archives; None of any other file."""
        if self.listed is not None:
            return self.listed
        known = self.path.is_dir() or self.path.suffix == ".parquet"
        if known or is_tar(self.path) or is_zip(self.path):
            return files_of(self.path)
        return None


class Reader(abc.ABC):
    """One format; subclasses are frozen dataclasses without fields.

    To add one, write one file with one subclass: it is found there. The first that recognises what
    was named reads it, in the order of `order`.
    """

    name: ClassVar[str]
    """Of the format."""

    order: ClassVar[int] = 50
    """Smaller numbers are asked first: built-in sets at 0, any folder of images at 90."""

    sets: ClassVar[tuple[str, ...]] = ()
    """Names of the built-in data sets that it makes."""

    kind: ClassVar[str] = "images"
    """The kind of data that it gives; see `demist.modalities`."""

    packed: ClassVar[bool] = False
    """Whether one file holds many samples, so that the files of a folder are not to be counted."""

    ranged: ClassVar[bool] = False
    """Whether it brings pixels to `Source.rules.range` itself; else that is done for it."""

    @abc.abstractmethod
    def recognises(self, source: Source) -> bool:
        """Whether this is of its format; looks at names and first bytes only."""

    @abc.abstractmethod
    def splits(self, source: Source) -> tuple[str, ...]:
        """Which of train, valid and test are there; no sample is read."""

    @abc.abstractmethod
    def read(self, source: Source) -> Dataset:
        """The data, of the split that is wanted.

        Raises:
            DataError: It is damaged, or has no such split.
        """


def files_of(path: Path) -> Tree:
    """The files of a folder, of an archive, or of a folder of archives."""
    if path.is_dir():
        folder = Folder.scan(path)
        return packed_in(folder) or folder
    if path.suffix == ".parquet":
        return Folder(path.parent, (path.name,))
    if is_zip(path):
        return Zips.scan(path)
    return Tar.scan(path) if is_compressed(path) else Shards.scan(path)


def first_bytes(path: Path) -> bytes:
    """The beginning of a file.

    Raises:
        DataError: It is no file.
        StorageError: It cannot be read.
    """
    if not path.is_file():
        raise DataError(f"{path} is neither a file nor a folder")
    try:
        with path.open("rb") as file:
            return file.read(256)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None


def is_tar(path: Path) -> bool:
    """By its name, so that a damaged archive is reported as such; else by its content."""
    if {".tar", ".tgz", ".txz", ".tbz2"} & set(path.suffixes):
        return True
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError):
        return False


def is_zip(path: Path) -> bool:
    """By its name or its content; `.npz`, which is one too, holds arrays."""
    suffix = path.suffix.lower()
    return suffix == ".zip" or (suffix != ".npz" and path.is_file() and zipfile.is_zipfile(path))
