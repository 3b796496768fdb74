"""What is checked of any file before it is believed."""

import os
import pickletools
import stat
from io import BufferedReader
from pathlib import Path

from demist.errors import DataError, RefusedError

LARGEST = 2**24
"""Bytes; no description is larger, whoever wrote it."""
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file for reading; what is none, such as a pipe, neither blocks nor is read.

    Raises:
        DataError: It is a pipe, a socket or a device.
        OSError: It is a folder, is not there or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | _AT_ONCE)
    if stat.S_ISREG(os.fstat(handle).st_mode) or os.path.isdir(path):
        try:
            return os.fdopen(handle, "rb")
        except OSError as error:  # a folder
            os.close(handle)
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    os.close(handle)
    raise DataError(
        f"{os.fspath(path)} is a pipe or a device, and a file is needed; put the file in its place"
    )


def read_small(path: str | os.PathLike[str], limit: int = LARGEST) -> bytes:
    """The bytes of a description, which is a file of at most `limit` bytes.

    Raises:
        DataError: It is larger, or no file.
        OSError: It is not there or cannot be read.
    """
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise DataError(
            f"{os.fspath(path)} has more than {limit / 1e6:.0f} MB, which is too much for what it "
            f"should hold; put the true file in its place"
        )
    return data


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of the file `name` in `folder`, if it really lies there.

    Raises:
        RefusedError: It leads elsewhere, by its name or by a link.
    """
    path = Path(folder) / name
    place = Path(os.path.realpath(path))  # `Path.resolve` does not return from a link to itself
    if not any(place.is_relative_to(os.path.realpath(root)) for root in _roots(Path(folder))):
        raise RefusedError(
            f"{path} leads out of {os.fspath(folder)}, to {place}; what belongs to a run "
            f"or model lies in its folder. Copy it there if you trust it"
        )
    return path


def _roots(folder: Path) -> tuple[Path, ...]:
    """Where what belongs to a folder may lie.

    The cache of huggingface_hub keeps contents beside its snapshots, which are links to them:
    `models--owner--name/snapshots/COMMIT` and `models--owner--name/blobs`.
    """
    for place in (folder, *folder.parents):
        home = place.parent.parent
        if place.parent.name == "snapshots" and home.name.startswith(("models--", "datasets--")):
            return folder, home / "blobs"
    return (folder,)


def refuse_links_out(folder: str | os.PathLike[str]) -> None:
    """Check that nothing in a folder is a link that leads out of it, a pipe or a device.

    Raises:
        RefusedError: Something is.
    """
    for path in list(Path(folder).rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            inside(folder, str(path.relative_to(folder)))
        elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise RefusedError(
                f"{path} is a pipe or a device, which would be waited for without end; what "
                f"belongs to a run or model is a file. Remove it"
            )


def refuse_pickle(head: bytes, path: str | os.PathLike[str]) -> None:
    """Refuse a file whose first bytes are a pickle's, or an archive's as `torch.save` makes it.

    Raises:
        RefusedError: It is one.
    """
    if is_pickle(head) or head.startswith(b"PK\x03\x04"):
        raise RefusedError(
            f"{os.fspath(path)} is a pickle, which could run code when loaded; it is refused "
            f"whatever its name. Use a safetensors file; `demist convert` makes one of weights"
        )


def is_pickle(head: bytes) -> bool:
    """Whether the first bytes of a file are a pickle's.

    A safetensors file begins with the length of its header, which may look like a pickle's first
    two bytes; five zeros and a brace after it do not.
    """
    binary = len(head) > 1 and head[:1] == b"\x80" and head[1] <= 5
    binary = binary and head[3:9] != b"\0\0\0\0\0{"
    return binary or _is_text_pickle(head)


def _is_text_pickle(head: bytes) -> bool:
    """Whether this is the beginning of a pickle without a protocol byte: instructions only."""
    if head[:1] not in (b"c", b"(", b"]", b"}", b"l", b"d", b"i"):
        return False
    count = 0
    try:
        for _ in pickletools.genops(head):
            count += 1
    except ValueError as error:  # an unknown instruction, or the end of what we were given
        return count >= 3 and "unknown" not in str(error)
    return count >= 3
