"""Files by relative name, whether they lie in a folder or in an archive."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from demist.errors import DataError, StorageError

MAX_FILE = 2**30  # bytes; no image or batch is larger, a decompression bomb is
PICTURE = 10**8  # bytes of an image file that lies compressed in an archive
RATIO, SPARE = 200, 2**28
"""Times the size of an archive, and bytes more, to which it may unpack: photographs hardly shrink,
drawings to a tenth or a fiftieth."""


@runtime_checkable
class Tree(Protocol):
    """A folder or an archive.

    Attributes:
        path: Where it is.
        names: Relative names of its regular files with "/" between the parts, sorted, hidden
            files left out.
    """

    @property
    def path(self) -> Path: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def stream(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield each of `names`, in the order that is quickest to read, with its reader.

        The readers may be called later and from other threads.
        """
        ...

    def place(self, name: str) -> str:
        """Where a file counts as lying: its name, without an archive's own."""
        ...

    def stamp(self) -> str | None:
        """Changes when a file does; None if only reading all in their order is quick."""
        ...


def read(tree: Tree, name: str) -> bytes:
    """The content of one file; see `read_all`."""
    return read_all(tree, [name])[name]


def read_all(tree: Tree, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of some files, by name.

    Raises:
        DataError: A file is too large.
        StorageError: A file cannot be read.
    """
    contents = {}
    for name, reader in tree.stream(names):
        try:
            contents[name] = reader()
        except OSError as error:
            raise StorageError(f"cannot read {name} in {tree.path}: {error.strerror}") from None
        except ValueError as error:
            raise DataError(f"{name} in {tree.path}: {error}") from None
    return contents


def is_hidden(name: str) -> bool:
    """Dot files, and the resource forks that macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def check_size(size: int, limit: int = MAX_FILE) -> None:
    """Raise ValueError if a file is too large to be read."""
    if size > limit:
        raise ValueError(f"{size / 1e9:.2g} GB is over the limit of {limit / 1e9:.2g} GB a file")


def budget(size: int) -> int:
    """Bytes to which an archive of `size` bytes may unpack."""
    return SPARE + RATIO * size


def over_budget(path: Path, size: int) -> DataError:
    """The error about an archive of `size` bytes that unpacks to more."""
    return DataError(
        f"{path} unpacks to more than {budget(size) / 1e9:.2g} GB, {RATIO} times its size and "
        f"more: too much to be images; unpack it yourself if you trust it"
    )
