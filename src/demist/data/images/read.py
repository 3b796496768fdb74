"""Many encoded images become one array: in threads, in order, counting what cannot be read.

What memory would not hold is decoded all the same, and stays on the disk; see `lazy`.
"""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from demist.data.column import Column
from demist.data.dataset import BadFile, Dataset, Samples, choose
from demist.data.files.spelling import original, portable
from demist.data.files.tree import Tree, read
from demist.data.images.buckets import BucketStore
from demist.data.images.decode import Deep, Found, decode, examine
from demist.data.images.layout import Listing, arrange
from demist.data.images.lazy import Kept, LazyImages, Survey, recall, remember, survey_file
from demist.data.images.levels import Levels
from demist.data.images.rules import Rules
from demist.data.images.store import Reach, Store
from demist.data.images.tally import Tally, key_of
from demist.data.images.told import told_columns
from demist.data.report import NAMED, Report
from demist.errors import DataError, UsageError

_File = tuple[str, Callable[[], bytes]]  # name, and what reads it
_HELD = 2**28  # bytes of files read before they are decoded, as those of a compressed archive are
SMALL = "low"
"""The column of small images, which are not brought to the size of the samples."""
_CHUNK = 16  # images per task: hides the cost of a task behind small images


def read_images(
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
    reference = partial(_of_training, tree, split, arrange, limit, seed)
    found = decode_all(
        tree, names, rules, max_bad, may_stay=place is not None, seen=listing.seen,
        reference=reference,
    )  # fmt: skip
    rules = replace(rules, deep=found.deep)
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
    _require_alike(columns, rules)
    if rules.sizes:
        columns |= told_columns(found.before, rules, found.x, found.cut)
    if place is not None and data.lazy:
        survey = _survey(data, columns)
        remember(survey, place)
        return _surveyed(survey, tree, rules)
    images = {name: _with_images(name, column, tree, rules) for name, column in columns.items()}
    return replace(data, columns={**data.columns, **images})


def _require_alike(columns: Mapping[str, Column], rules: Rules) -> None:
    """Raise UsageError if images that belong together would be cut in different places."""
    beside = [name for name, column in columns.items() if column.kind in ("image", "mask")]
    if rules.fit == "random" and beside:
        raise UsageError(
            f"--fit random cuts each image in a place of its own, and this data has images that "
            f"belong to others ({', '.join(beside)}); use --fit crop"
        )


def _of_training(
    tree: Tree,
    split: str,
    arrange: Callable[[Tree, str], Listing],
    limit: int | None,
    seed: int,
) -> list[str]:
    """The files that say the range of a split that is not for training: the training images."""
    listing = Listing(())
    if split != "train":
        with suppress(DataError):  # there are none
            listing = arrange(tree, "train")
    chosen = choose(len(listing.names), listing.labels, limit, seed)
    return [listing.names[i] for i in chosen]


def _rules_of(name: str, column: Column, rules: Rules) -> Rules:
    """How the images of a column are decoded: masks are grey, small images keep their size."""
    if column.kind == "mask":
        return replace(rules, channels=1)
    return replace(rules, size=None) if name == SMALL else rules


def _with_images(name: str, column: Column, tree: Tree, rules: Rules) -> Column:
    """The column, its files decoded."""
    if column.kind not in ("image", "mask"):
        return column
    own = _rules_of(name, column, rules)
    names = list(dict.fromkeys(column.values))
    rows = {name: row for row, name in enumerate(names)}
    images = decode_all(tree, names, own, 0.0).x
    return replace(column, values=images[np.array([rows[name] for name in column.values])])


def _with_files(name: str, column: Column, tree: Tree, rules: Rules) -> Column:
    """The same, for images that stay on the disk."""
    if column.kind not in ("image", "mask"):
        return column
    own = _rules_of(name, column, rules)
    names = [original(file) for file in column.values]
    first = decode(read(tree, names[0]), own)
    return replace(column, values=LazyImages(tree, names, own, first.shape))


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
        deep=data.x.rules.deep,
        columns={
            name: Kept(kind=c.kind, values=_values(c), names=c.names) for name, c in columns.items()
        },
    )


def _values(column: Column) -> list[Any]:
    if column.kind in ("image", "mask"):
        return list(map(portable, column.values))
    return list(np.asarray(column.values).tolist())


def _surveyed(survey: Survey, tree: Tree, rules: Rules) -> Dataset:
    now = replace(rules, channels=survey.shape[0], deep=survey.deep)
    return Dataset(
        LazyImages(tree, list(map(original, survey.names)), now, survey.shape),
        labels=None if survey.labels is None else np.array(survey.labels, np.int64),
        classes=survey.classes,
        texts=survey.texts,
        bad=tuple(BadFile(original(path), reason) for path, reason in survey.bad),
        known_fingerprint=survey.fingerprint,
        seen=survey.seen,
        columns={
            name: _with_files(name, kept.column(), tree, rules)
            for name, kept in survey.columns.items()
        },
    )


class Decoded(NamedTuple):
    """Images that were decoded.

    Attributes:
        x: The good ones.
        kept: Their positions among the names that were given.
        bad: The files that cannot be read.
        seen: What they were.
        before: Height and width that each good one had.
        cut: Shares of them that were cut off above and on the left.
        deep: The range of their numbers, if some are not bytes.
    """

    x: Samples
    kept: list[int]
    bad: tuple[BadFile, ...]
    seen: Report
    before: np.ndarray
    cut: np.ndarray
    deep: Levels | None = None


def decode_all(
    tree: Tree,
    names: list[str],
    rules: Rules,
    max_bad: float,
    *,
    may_stay: bool = False,
    seen: Report | None = None,
    reference: Callable[[], list[str]] = list,
) -> Decoded:
    """Decode files.

    Args:
        tree: Where they are.
        names: Of the files.
        rules: How to decode. Where some are grey and some in colour, all become colour.
        max_bad: Largest fraction that may be unreadable.
        may_stay: Whether images that memory would not hold may stay where they are.
        seen: What is known of them already.
        reference: Gives the files that say the range of numbers that are not bytes, if these do
            not.

    Raises:
        DataError: Too many cannot be read, they differ in size, or memory would not hold them.
    """
    position = {name: index for index, name in enumerate(names)}
    several = BucketStore(tree, len(names), rules) if rules.buckets else None
    store, tally = several or Store(tree, len(names), may_stay), Tally(rules)
    before, cut = np.zeros((len(names), 2)), np.zeros((len(names), 2))
    bad: dict[int, BadFile] = {}
    deep = Reach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about oddities inside single files
        wanted = names
        while wanted:
            again = []
            for one in _shown(_decoded(tree, wanted, rules), len(wanted)):
                if one.deep is not None:
                    again.append(one.name)
                    deep.add(one.deep)
                elif one.pixels is None or one.found is None:
                    bad[position[one.name]] = BadFile(one.name, one.fault)
                else:
                    store.put(position[one.name], one.name, one.pixels)
                    tally.add(one.found, one.pixels, one.key)
                    before[position[one.name]] = one.found.sides
                    cut[position[one.name]] = one.found.cut
            if again:  # now the range is known
                others = Reach()
                for one in _shown(_decoded(tree, reference(), rules), 0):
                    others.add(one.deep)
                rules = replace(rules, deep=(others if others else deep).levels(str(tree.path)))
            wanted = again
    faults = tuple(bad[index] for index in sorted(bad))
    if len(bad) > max_bad * len(names):
        raise DataError(too_many(faults, len(names), max_bad, tree.path))
    kept, x = store.taken(names, rules)
    seen = tally.report(x.shape[1], seen or Report(), deep.in_words(rules.deep))
    return Decoded(x, kept, faults, seen, before[kept], cut[kept], rules.deep)


def _shown(images: Iterator["_One"], count: int) -> Iterator["_One"]:
    """The same, with a bar."""
    yield from tqdm(images, "reading images", count, delay=1, leave=False, disable=None)


class _One(NamedTuple):
    """A file that was read: its pixels and what it was, or what is wrong with it."""

    name: str
    pixels: np.ndarray | None = None
    fault: str = ""
    found: Found | None = None
    key: bytes = b""
    deep: Deep | None = None


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
    except Deep as deep:
        return _One(name, deep=deep)
    except Exception as error:  # a damaged file may make its decoder raise anything
        reason = error.strerror if isinstance(error, OSError) else None
        return _One(name, None, reason or str(error) or type(error).__name__)


def too_many(
    bad: Sequence[BadFile], count: int, max_bad: float, path: Path, what: str = "images"
) -> str:
    """The error about files that cannot be read; `what` is what they should hold."""
    files = "; ".join(f"{file.path!r}: {file.reason}" for file in bad[:NAMED])
    return (
        f"more than {100 * max_bad:.3g} % of the {count} {what} in {path} cannot be read: "
        f"{len(bad)} ({files}{'; ...' if len(bad) > NAMED else ''}); "
        "repair or remove them, or raise --max-bad"
    )
