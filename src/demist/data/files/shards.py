"""Plain tar archives as one tree of files, each read where it lies, without unpacking.

An image, its class and its caption lie side by side in an archive, as in WebDataset: `000017.jpg`,
`000017.cls`, `000017.txt` (see `layout`). Where each member begins is found once, by going through
the headers, and kept in an index beside the data, or in the user's cache if that cannot be written.
An archive with another size or time of change is gone through again.

The index is two lines of JSON: the SHA-256 of the second line, and the second line. One that is
damaged is made anew.
"""

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, NonNegativeInt, ValidationError, model_validator
from tqdm import tqdm

from demist.data.files.spelling import original, portable
from demist.data.files.tar import members_of
from demist.data.files.tree import check_size
from demist.data.words import split_word
from demist.errors import DataError, StorageError
from demist.io.files import cache_folder, write_bytes
from demist.io.untrusted import read_small

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
"""First bytes of gzip, bzip2, xz and zstandard: nothing inside can be reached without the rest."""


_BESIDE = ContextVar("_BESIDE", default=True)


@contextmanager
def nothing_beside() -> Iterator[None]:
    """Within this nothing is written into the folder of the data; an index goes to the cache."""
    token = _BESIDE.set(False)
    try:
        yield
    finally:
        _BESIDE.reset(token)


class Member(NamedTuple):
    """Where a file lies: in which archive, from which byte on, and how many."""

    shard: int
    offset: int
    size: int


class Contents(BaseModel):
    """One archive in the index: its state when it was gone through, and its members."""

    size: int
    mtime_ns: int
    names: list[str]
    offsets: list[NonNegativeInt]
    sizes: list[NonNegativeInt]

    @model_validator(mode="after")
    def _columns(self) -> "Contents":
        if not len(self.names) == len(self.offsets) == len(self.sizes):
            raise ValueError("columns of unequal length")
        return self

    @property
    def state(self) -> tuple[int, int]:
        """Changes when the archive does."""
        return self.size, self.mtime_ns


class Index(BaseModel):
    """The members of all archives, by the name of the archive."""

    version: Literal[1] = 1
    shards: dict[str, Contents] = {}


@dataclass(frozen=True)
class Shards:
    """The members of one archive, or of all archives in a folder; see `Tree`.

    A member of one of several archives is called `archive.tar/member`.

    Attributes:
        path: The archive, or the folder.
        shards: Names of the archives, relative to `path`; "" is `path` itself.
        index: Their members.
        beside: Names of the other files in the folder.
    """

    path: Path
    shards: tuple[str, ...]
    index: Index
    beside: tuple[str, ...] = ()

    @classmethod
    def scan(
        cls, path: Path, shards: Sequence[str] = ("",), beside: Sequence[str] = ()
    ) -> "Shards":
        """List archives: from the index, as far as it is true, and by reading the others.

        Raises:
            DataError: One is damaged, ends early or is compressed.
            StorageError: One cannot be read.
        """
        places = _index_files(path)
        old = _known(places)
        new = Index()
        bar = tqdm(shards, "listing shards", delay=1, leave=False, disable=None)
        for shard in bar:
            file = path / shard
            try:
                stat = file.stat()
            except OSError as error:
                raise StorageError(f"cannot read {file}: {error.strerror}") from None
            known = old.shards.get(portable(shard))
            if known is None or known.state != (stat.st_size, stat.st_mtime_ns):
                known = _go_through(file, stat)
            new.shards[portable(shard)] = known
        if new != old:
            _keep(new, places if _BESIDE.get() else places[1:])
        return cls(path, tuple(shards), new, tuple(beside))

    @cached_property
    def members(self) -> Mapping[str, Member]:
        """Name -> where it lies."""
        found: dict[str, Member] = {}
        for number, shard in enumerate(self.shards):
            contents = self.index.shards[portable(shard)]
            rows = zip(map(original, contents.names), contents.offsets, contents.sizes, strict=True)
            for name, offset, size in rows:
                found[posixpath.join(shard, name)] = Member(number, offset, size)
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """See `Tree.names`."""
        return tuple(sorted(self.members))

    def stream(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """See `Tree.stream`."""
        for name in names:
            shard, offset, size = self.members[name]
            yield name, partial(_read, self.path / self.shards[shard], offset, size)

    def place(self, name: str) -> str:
        """See `Tree.place`: the archive is no folder, but its name may say which split it is."""
        shard = self.shards[self.members[name].shard]
        inside = name[len(shard) :].lstrip("/")
        return posixpath.join(posixpath.dirname(shard), self._split(shard), inside)

    def stamp(self) -> str:
        """See `Tree.stamp`."""
        names = map(portable, self.shards)
        states = [(name, self.index.shards[name].state) for name in names]
        place = portable(str(self.path.resolve()))
        return hashlib.sha256(json.dumps([place, states]).encode()).hexdigest()

    def _split(self, shard: str) -> str:
        """`train` of `photos-train-0001.tar`, if all are called so, or some of different ones."""
        words = {split_word(posixpath.basename(each)) for each in self.shards}
        named = "" not in words or len(words) > 2
        return split_word(posixpath.basename(shard)) if named else ""


def is_compressed(path: Path) -> bool:
    """Whether an archive must be read from its start."""
    with path.open("rb") as file:
        return file.read(6).startswith(COMPRESSED)


def _go_through(path: Path, stat: os.stat_result) -> Contents:
    if is_compressed(path):
        raise DataError(f"{path} is compressed under a plain name: decompress it")
    members = members_of(path)
    return Contents(
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        names=list(map(portable, members)),
        offsets=[member.offset_data for member in members.values()],
        sizes=[member.size for member in members.values()],
    )


def _read(path: Path, offset: int, size: int) -> bytes:
    check_size(size)
    with path.open("rb", buffering=0) as file:
        data = os.pread(file.fileno(), size, offset)
    if len(data) < size:
        raise ValueError(f"{path.name} ends {size - len(data)} bytes early; it was cut short")
    return data


def _index_files(path: Path) -> list[Path]:
    """Where the index may be, the best place first."""
    key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    beside = path / ".index.jsonl" if path.is_dir() else path.with_name(f".{path.name}.index.jsonl")
    return [beside, cache_folder() / "indexes" / f"{key}.jsonl"]


def _known(places: Sequence[Path]) -> Index:
    """The first index that can be read; empty if there is none."""
    for place in places:
        with suppress(OSError, ValueError, ValidationError, RecursionError, DataError):
            first, body = read_small(place, 2**30).split(b"\n", 1)
            if json.loads(first) == {"sha256": hashlib.sha256(body).hexdigest()}:
                return Index.model_validate_json(body)
    return Index()


def _keep(index: Index, places: Sequence[Path]) -> None:
    """Write the index where it can be written; without one, only time is lost."""
    body = index.model_dump_json().encode()
    head = json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode()
    for place in places:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, head + b"\n" + body)
            return
