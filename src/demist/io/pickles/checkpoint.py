"""A file of `torch.save`, read as data: what its pickle says, and its numbers.

```
since torch 1.6   a zip archive: NAME/data.pkl, NAME/byteorder, NAME/data/0, NAME/data/1, ...
before            pickles of a magic number, the version and the machine; the pickle; the keys of
                  its storages; then, for each key, 8 bytes of count and the numbers
```
"""

import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.errors import DataError, MissingError, RefusedError
from demist.io.pickles.archive import Member, members
from demist.io.pickles.machine import MAX_BYTES, Machine
from demist.io.pickles.values import Items, Storage, Stored
from demist.io.tensors import bytes_of
from demist.io.untrusted import is_pickle, open_regular

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""First two values of the older form."""
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Checkpoint:
    """An open file.

    Attributes:
        value: What its pickle says: `Items`, lists, `Stored`, `Unknown`, `Name`, plain values.
        size: Bytes of the file.
        form: "zip", or "old".
        numbers: The content of a storage, as bytes.
    """

    value: Any
    size: int
    form: str
    numbers: Callable[[Storage], Tensor]

    def tensor(self, stored: Stored, content: Tensor) -> Tensor:
        """A tensor from the content of its storage; a view of it.

        Raises:
            ValueError: The storage has not as many bytes as its pickle says.
        """
        if 0 in stored.shape:
            return torch.empty(stored.shape, dtype=stored.dtype)
        size = stored.dtype.itemsize
        typed = content[: len(content) // size * size].view(stored.dtype)
        return typed.as_strided(stored.shape, stored.stride, stored.offset)


@contextmanager
def open_checkpoint(path: str | os.PathLike[str]) -> Iterator[Checkpoint]:
    """Open a file of `torch.save`; what is found wrong while it is open is one sentence, too.

    Raises:
        MissingError: There is no such file.
        DataError: It is no such file, or damaged.
        RefusedError: What it holds cannot be taken as data.
        OSError: It cannot be read.
    """
    where = os.fspath(path)
    if not Path(path).is_file():
        raise MissingError(f"there is no file {where}")
    try:
        with open_regular(path) as file:
            head = file.read(512)
            size = os.fstat(file.fileno()).st_size
            if head.startswith(ZIP):
                yield _zipped(file, size)
            elif is_pickle(head[:256]):
                yield _old(file, size)
            else:
                raise ValueError(_other(head))
    except RefusedError as error:
        raise RefusedError(f"{where} cannot be converted: {error}") from None
    except (ValueError, OverflowError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{where} is no file of torch.save that can be read: {reason}") from None


def _other(head: bytes) -> str:
    """What a file is that is no pickle."""
    if head[257:262] == b"ustar":
        return (
            "it has the form of torch before 0.2, a tar archive; save it again with a newer torch"
        )
    if head[8:9] == b"{":
        return "it looks like a safetensors file already, whatever its name; use it as it is"
    return "it is neither a zip archive nor a pickle"


def _zipped(file: BufferedReader, size: int) -> Checkpoint:
    found = members(file, size)
    tops = [name.removesuffix("data.pkl") for name in found if name.endswith("/data.pkl")]
    tops = [top for top in tops if top.count("/") == 1]
    if len(tops) != 1:
        raise ValueError("it is an archive without one data.pkl, and so not of torch.save")
    (top,) = tops
    if f"{top}constants.pkl" in found:
        raise RefusedError("it is a TorchScript program; its tensors belong to code")
    order = found.get(f"{top}byteorder")
    if order is not None and _content(file, order, 16) != b"little":
        raise ValueError("its numbers are big-endian; save it again on a usual machine")
    data = BytesIO(_content(file, found[f"{top}data.pkl"], MAX_BYTES))
    value = Machine().run(data)

    def numbers(storage: Storage) -> Tensor:
        member = found.get(f"{top}data/{storage.key}")
        if member is None:
            raise ValueError(f"its storage {storage.key[:80]!r} is not in it")
        if member.size < storage.nbytes:
            raise ValueError(
                f"its storage {storage.key[:80]!r} has {member.size} bytes, not {storage.nbytes}"
            )
        _require_plain(member)
        return _read(file, member.begin, member.size, member.crc, member.name)

    return Checkpoint(value, size, "zip", numbers)


def _content(file: BufferedReader, member: Member, limit: int) -> bytes:
    _require_plain(member)
    if member.size > limit:
        raise ValueError(f"its member {member.name!r} has {member.size} bytes, more than {limit}")
    return bytes(bytes_of(_read(file, member.begin, member.size, member.crc, member.name)))


def _require_plain(member: Member) -> None:
    if not member.plain:
        raise ValueError(
            f"its member {member.name!r} is compressed or encrypted, which torch.save never does"
        )


def _read(file: BufferedReader, begin: int, size: int, crc: int, name: str) -> Tensor:
    """Bytes of the file, which hold so many (as its members were checked to)."""
    content = torch.empty(size, dtype=torch.uint8)
    view = bytes_of(content)
    file.seek(begin)
    if file.readinto(view) != size:
        raise ValueError(f"it ends within {name!r}")
    if crc and zlib.crc32(view) != crc:
        raise ValueError(f"{name!r} is damaged: its checksum is another")
    return content


def _old(file: BufferedReader, size: int) -> Checkpoint:
    file.seek(0)
    head = BytesIO(file.read(min(size, MAX_BYTES)))
    if Machine().run(head) != MAGIC or Machine().run(head) != PROTOCOL:
        raise ValueError("it is a pickle, and not one of torch.save")
    machine = Machine().run(head)
    if isinstance(machine, Items) and ("little_endian", False) in list(machine):
        raise ValueError("its numbers are big-endian; save it again on a usual machine")
    program = Machine()
    value, keys = program.run(head), Machine().run(head)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("it has no list of its storages")
    places = _places(file, size, head.tell(), keys, program.storages)

    def numbers(storage: Storage) -> Tensor:
        begin, there = places.get(storage.key, (0, -1))
        if there < storage.nbytes:
            raise ValueError(f"its storage {storage.key[:80]!r} is not in it, or shorter")
        return _read(file, begin, there, 0, storage.key[:80])

    return Checkpoint(value, size, "old", numbers)


def _places(
    file: BufferedReader, size: int, at: int, keys: list[str], known: Mapping[str, Storage]
) -> dict[str, tuple[int, int]]:
    """Key of a storage -> first byte and bytes of its content."""
    found = {}
    for key in keys:
        if key not in known:
            raise ValueError(f"its storage {key[:80]!r} is of no known type")
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        there = known[key].nbytes
        if count != known[key].numel or at + 8 + there > size:
            raise ValueError(f"its storage {key[:80]!r} has {count} numbers, or is cut")
        found[key] = at + 8, there
        at += 8 + there
    return found
