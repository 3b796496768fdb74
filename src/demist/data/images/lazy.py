"""Images that stay on the disk: an array whose rows are decoded when they are asked for.

For data that memory would not hold. It is decoded once from end to end, to leave out what cannot be
read and to know the fingerprint; what was found is kept in the user's cache, so that the next start
is immediate. From then on a batch is read at random, in threads, while the network works on the one
before. The numbers are those that memory would have held.
"""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from pydantic import BaseModel, ValidationError

from demist.data.column import Column
from demist.data.files.tree import Tree
from demist.data.images.decode import decode
from demist.data.images.rules import Rules
from demist.data.report import Report
from demist.errors import DataError
from demist.io.files import cache_folder, write_text
from demist.io.untrusted import read_small

BLOCK = 256
"""Images decoded at once when all of them are gone through."""
VERSION = 3
"""Of the rules of decoding: another number, and all surveys are made anew."""
_TASK = 16  # images per task: hides the cost of a task behind small images


class LazyImages:
    """Images of a tree as uint8 (N, C, H, W), used like the array: its shape, and its rows.

    Attributes:
        tree: The files.
        names: Of the images, in their order.
        rules: How to decode.
        shape: (N, C, H, W).
        digest: SHA-256 of the array's type, shape and bytes, if it is known.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        tree: Tree,
        names: Sequence[str],
        rules: Rules,
        shape: tuple[int, ...],
        digest: Any = None,
    ) -> None:
        self.tree, self.names, self.rules = tree, tuple(names), rules
        self.shape, self.digest = (len(names), *shape), digest
        self._expected: dict[bytes, list[Future[np.ndarray]]] = {}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> UInt8[np.ndarray, "..."]:
        """Rows by a slice or by numbers, decoded now, unless they were expected."""
        rows = np.arange(len(self))[index]
        tasks = self._expected.pop(_key(rows), None) or self._begin(rows)
        found = np.concatenate([np.empty((0, *self.shape[1:]), np.uint8)]
                               + [task.result() for task in tasks])  # fmt: skip
        return found if np.ndim(rows) else found[0]

    def expect(self, rows: Int64[np.ndarray, "b"]) -> None:
        """Begin to decode rows that will be asked for together."""
        if _key(rows) not in self._expected:
            self._expected[_key(rows)] = self._begin(rows)

    def take(self, rows: Int64[np.ndarray, "m"], axis: int = 0) -> "LazyImages":
        """Some of the images, which stay where they are; `axis` is 0, as for an array."""
        return LazyImages(self.tree, [self.names[i] for i in rows], self.rules, self.shape[1:])

    def _begin(self, rows: Any) -> list[Future[np.ndarray]]:
        rows = np.atleast_1d(rows)
        return [
            _pool().submit(self._decode, rows[i : i + _TASK]) for i in range(0, len(rows), _TASK)
        ]

    def _decode(self, rows: np.ndarray) -> np.ndarray:
        x = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for target, (name, reader) in enumerate(self.tree.stream([self.names[i] for i in rows])):
            try:
                pixels = decode(reader(), self.rules)
                if pixels.shape != self.shape[1:]:
                    raise ValueError(f"it is now {pixels.shape}, and was {self.shape[1:]}")
            except Exception as error:  # a damaged file may make its decoder raise anything
                raise DataError(
                    f"{name} in {self.tree.path} could be read when training began and cannot any "
                    f"more ({error or type(error).__name__}): restore it, then run the same "
                    "command again"
                ) from None
            x[target] = pixels
        return x


class Kept(BaseModel):
    """A column in a survey; one of images holds names of files."""

    kind: str
    values: list[Any]
    names: tuple[str, ...]

    def column(self) -> Column:
        """The column, its images not opened yet."""
        types = {"class": np.int64, "labels": np.uint8, "numbers": np.float64}
        types["sizes"] = np.float64
        if self.kind in types:
            return Column(self.kind, np.array(self.values, types[self.kind]), self.names)
        return Column(self.kind, tuple(self.values), self.names)


class Survey(BaseModel):
    """What was found when all images were decoded once: a data set but for its images."""

    names: list[str]
    shape: tuple[int, int, int]
    labels: list[int] | None
    classes: tuple[str, ...]
    texts: tuple[str, ...] | None
    bad: list[tuple[str, str]]
    fingerprint: str
    columns: dict[str, Kept] = {}
    seen: Report = Report()
    deep: tuple[float, float] | None = None


def survey_file(tree: Tree, *choices: object) -> Path | None:
    """Where the survey of a tree is kept, given all that decides it; None: nowhere."""
    stamp = tree.stamp()
    if stamp is None:
        return None
    key = hashlib.sha256(f"{VERSION}/{stamp}/{choices!r}".encode()).hexdigest()[:32]
    return cache_folder() / "surveys" / f"{key}.json"


def recall(path: Path | None) -> Survey | None:
    """The survey in `path`, if it is there and whole."""
    with suppress(OSError, ValueError, ValidationError, DataError):
        if path is not None:
            return Survey.model_validate_json(read_small(path, 2**30))
    return None


def remember(survey: Survey, path: Path) -> None:
    """Keep a survey, if that can be done; without one, only time is lost."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, survey.model_dump_json())


def _key(rows: Any) -> bytes:
    return np.asarray(rows, np.int64).tobytes()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1), "images")
