"""Many encoded images become one array: in threads, in order, counting what cannot be read.

What memory would not hold is decoded all the same, and stays on the disk; see `lazy`.
"""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from demist.data.column import Column
from demist.data.dataset import BadFile, Dataset, Samples, choose, samples_digest
from demist.data.files.spelling import original, portable
from demist.data.files.tree import Tree, read
from demist.data.images.decode import Found, Rules, decode, examine
from demist.data.images.layout import Listing, arrange
from demist.data.images.lazy import Kept, LazyImages, Survey, recall, remember, survey_file
from demist.data.images.tally import Tally, key_of
from demist.data.report import NAMED, Report
from demist.errors import DataError
from demist.machine.memory import check_memory, fits

_File = tuple[str, Callable[[], bytes]]  # name, and what reads it
_HELD = 2**28  # bytes of files read before they are decoded, as those of a compressed archive are
_CHUNK = 16  # images per task: hides the cost of a task behind small images


def read_pictures(
    tree: Tree,
    split: str,
    rules: Rules,
    *,
    limit: int | None,
    max_bad: float,
    seed: int,
    arrange: Callable[[Tree, str], Listing] = arrange,
    choices: object = None,
) -> Dataset:
    """Decode the images of one split of a folder or archive.

    Args:
        tree: The files.
        split: "train", "valid" or "test".
        rules: How to decode.
        limit: Use at most so many, chosen by `choose`.
        max_bad: Largest fraction of images that may be unreadable; they are skipped.
        seed: Seed of the choice.
        arrange: Lists the images of a split.
        choices: What else decides what it lists.

    Raises:
        DataError: See `arrange`; or too many images are unreadable, they do not share a size or
            number of channels and the rules give none, or memory would not hold them and they can
            only be read in their order.
    """
    place = survey_file(tree, split, rules, limit, max_bad, seed, choices)
    if survey := recall(place):
        return _surveyed(survey, tree, rules)
    listing = arrange(tree, split)
    chosen = choose(len(listing.names), listing.labels, limit, seed)
    names = [listing.names[i] for i in chosen]
    found = decode_all(tree, names, rules, max_bad, may_stay=place is not None, seen=listing.seen)
    rows = chosen[found.kept]
    data = Dataset(
        found.x,
        labels=None if listing.labels is None else listing.labels[rows],
        classes=listing.classes,
        texts=None if listing.texts is None else tuple(listing.texts[i] for i in rows),
        bad=found.bad,
        seen=found.seen,
    )
    columns = {name: column.take(rows) for name, column in listing.columns.items()}
    if place is not None and data.lazy:
        survey = _survey(data, columns)
        remember(survey, place)
        return _surveyed(survey, tree, rules)
    images = {name: _with_images(column, tree, rules) for name, column in columns.items()}
    return replace(data, columns={**data.columns, **images})


def _with_images(column: Column, tree: Tree, rules: Rules) -> Column:
    """The column, its files decoded; a mask is grey."""
    if column.kind not in ("image", "mask"):
        return column
    grey = replace(rules, channels=1) if column.kind == "mask" else rules
    names = list(dict.fromkeys(column.values))
    rows = {name: row for row, name in enumerate(names)}
    images = decode_all(tree, names, grey, 0.0).x
    return replace(column, values=images[np.array([rows[name] for name in column.values])])


def _with_files(column: Column, tree: Tree, rules: Rules) -> Column:
    """The same, for images that stay on the disk."""
    if column.kind not in ("image", "mask"):
        return column
    grey = replace(rules, channels=1) if column.kind == "mask" else rules
    names = [original(name) for name in column.values]
    first = decode(read(tree, names[0]), grey)
    return replace(column, values=LazyImages(tree, names, grey, first.shape))


def _survey(data: Dataset, columns: Mapping[str, Column]) -> Survey:
    return Survey(
        names=list(map(portable, data.x.names)),
        shape=data.x.shape[1:],
        labels=None if data.labels is None else data.labels.tolist(),
        classes=data.classes,
        texts=data.texts,
        bad=[(portable(bad.path), bad.reason) for bad in data.bad],
        fingerprint=data.fingerprint,
        seen=data.seen,
        columns={
            name: Kept(kind=c.kind, values=_values(c), names=c.names) for name, c in columns.items()
        },
    )


def _values(column: Column) -> list[Any]:
    if column.kind in ("image", "mask"):
        return list(map(portable, column.values))
    return list(np.asarray(column.values).tolist())


def _surveyed(survey: Survey, tree: Tree, rules: Rules) -> Dataset:
    now = replace(rules, channels=survey.shape[0])
    return Dataset(
        LazyImages(tree, list(map(original, survey.names)), now, survey.shape),
        labels=None if survey.labels is None else np.array(survey.labels, np.int64),
        classes=survey.classes,
        texts=survey.texts,
        bad=tuple(BadFile(original(path), reason) for path, reason in survey.bad),
        known_fingerprint=survey.fingerprint,
        seen=survey.seen,
        columns={
            name: _with_files(kept.column(), tree, rules) for name, kept in survey.columns.items()
        },
    )


class Decoded(NamedTuple):
    """Images that were decoded.

    Attributes:
        x: The good ones.
        kept: Their positions among the names that were given.
        bad: The files that cannot be read.
        seen: What they were.
    """

    x: Samples
    kept: list[int]
    bad: tuple[BadFile, ...]
    seen: Report


def decode_all(
    tree: Tree,
    names: list[str],
    rules: Rules,
    max_bad: float,
    *,
    may_stay: bool = False,
    seen: Report | None = None,
) -> Decoded:
    """Decode files.

    Args:
        tree: Where they are.
        names: Of the files.
        rules: How to decode. Where some are grey and some in colour, all become colour.
        max_bad: Largest fraction that may be unreadable.
        may_stay: Whether images that memory would not hold may stay where they are.
        seen: What is known of them already.

    Raises:
        DataError: Too many cannot be read, they differ in size, or memory would not hold them.
    """
    position = {name: index for index, name in enumerate(names)}
    store, tally = _Store(tree, len(names), may_stay), Tally(rules)
    bad: dict[int, BadFile] = {}
    progress = tqdm(total=len(names), desc="reading images", delay=1, leave=False, disable=None)
    with progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about oddities inside single files
        for one in _decoded(tree, names, rules):
            progress.update()
            if one.pixels is None or one.found is None:
                bad[position[one.name]] = BadFile(one.name, one.fault)
            else:
                store.put(position[one.name], one.name, one.pixels)
                tally.add(one.found, one.pixels, one.key)
    faults = tuple(bad[index] for index in sorted(bad))
    if len(bad) > max_bad * len(names):
        raise DataError(_too_many(faults, len(names), max_bad, tree.path))
    kept, x = store.taken(names, rules)
    return Decoded(x, kept, faults, tally.report(x.shape[1], seen or Report()))


class _Store:
    """Takes in images one by one, into memory unless it would not hold them."""

    def __init__(self, tree: Tree, count: int, may_stay: bool) -> None:
        self._tree, self._count, self._may_stay = tree, count, may_stay
        self._x = np.empty((0, 1, 0, 0), np.uint8)
        self._stay, self._digest = False, hashlib.sha256()
        self._exact = True  # whether the digest is that of the images as they are in the end
        self._first, self._good = "", set[int]()

    def put(self, index: int, name: str, pixels: np.ndarray) -> None:
        """Take an image in.

        Raises:
            DataError: It has another size than those before, or memory would not hold all.
        """
        channels, sides = len(pixels), pixels.shape[1:]
        if not self._good:
            self._first = name
            self._begin(channels, sides)
        elif sides != self._x.shape[2:]:
            raise DataError(_mismatch(self._first, self._x.shape[2:], name, sides))
        elif channels > self._x.shape[1]:
            self._widen(channels)
        if not self._stay:
            self._x[index] = pixels  # grey is repeated
        elif channels == self._x.shape[1]:
            self._digest.update(np.ascontiguousarray(pixels).data)
        else:
            self._exact = False
        self._good.add(index)

    def _begin(self, channels: int, sides: tuple[int, ...]) -> None:
        shape = (self._count, channels, *sides)
        self._stay = self._may_stay and not fits(shape)
        if not self._stay:
            check_memory(shape, str(self._tree.path))
        self._x = np.empty((0 if self._stay else self._count, *shape[1:]), np.uint8)
        self._digest = samples_digest(self._x.dtype, shape)

    def _widen(self, channels: int) -> None:
        """The first image in colour after grey ones."""
        before = self._x
        self._begin(channels, before.shape[2:])
        if self._stay:
            self._exact = False
        else:
            self._x[: len(before)] = before

    def taken(self, names: list[str], rules: Rules) -> tuple[list[int], Samples]:
        """Positions of the images, and the images."""
        kept, x = sorted(self._good), self._x
        if self._stay:  # files that can be reached at random come in the order of `names`
            known = self._digest if self._exact and len(kept) == self._count else None
            now = replace(rules, channels=x.shape[1])
            return kept, LazyImages(self._tree, [names[i] for i in kept], now, x.shape[1:], known)
        if len(kept) < len(x):
            for target, index in enumerate(kept):  # close the gaps in place: x may be large
                x[target] = x[index]
        return kept, x[: len(kept)]


class _One(NamedTuple):
    """A file that was read: its pixels and what it was, or what is wrong with it."""

    name: str
    pixels: np.ndarray | None = None
    fault: str = ""
    found: Found | None = None
    key: bytes = b""


def _decoded(tree: Tree, names: list[str], rules: Rules) -> Iterator[_One]:
    """Decode in threads; yield in the order of the tree, holding only a few results."""
    workers = min(8, os.cpu_count() or 1)
    files = tree.stream(names)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[tuple[Future[list[_One]], int]] = deque()
        held = 0
        while True:
            while len(pending) < 4 * workers and held < _HELD and (chunk := _chunk(files)):
                size = sum(len(getattr(reader, "data", b"")) for _, reader in chunk)
                pending.append((pool.submit(_decode_chunk, chunk, rules), size))
                held += size
            if not pending:
                return
            future, size = pending.popleft()
            held -= size
            yield from future.result()


def _chunk(files: Iterator[_File]) -> list[_File]:
    """The next files, fewer if they are held in memory already and are large."""
    chunk, held = [], 0
    for name, reader in islice(files, _CHUNK):
        chunk.append((name, reader))
        held += len(getattr(reader, "data", b""))
        if held > _HELD // 8:
            break
    return chunk


def _decode_chunk(chunk: list[_File], rules: Rules) -> list[_One]:
    return [_attempt(name, reader, rules) for name, reader in chunk]


def _attempt(name: str, reader: Callable[[], bytes], rules: Rules) -> _One:
    try:
        data = reader()
        pixels, found = examine(data, rules)
        return _One(name, pixels, "", found, key_of(data))
    except Exception as error:  # a damaged file may make its decoder raise anything
        reason = error.strerror if isinstance(error, OSError) else None
        return _One(name, None, reason or str(error) or type(error).__name__)


def _too_many(bad: Sequence[BadFile], count: int, max_bad: float, path: Path) -> str:
    files = "; ".join(f"{file.path!r}: {file.reason}" for file in bad[:NAMED])
    return (
        f"more than {100 * max_bad:.3g} % of the {count} images in {path} cannot be read: "
        f"{len(bad)} ({files}{'; ...' if len(bad) > NAMED else ''}); "
        "repair or remove them, or raise --max-bad"
    )


def _mismatch(one: str, sides: tuple[int, ...], other: str, other_sides: tuple[int, ...]) -> str:
    (h, w), (other_h, other_w) = sides, other_sides
    return (
        f"{one!r} is {w} x {h} pixels and {other!r} is {other_w} x {other_h}: "
        "pass --size to give all images one size"
    )
