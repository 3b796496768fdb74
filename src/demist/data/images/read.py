"""Many encoded images become one array: in threads, in order, counting what cannot be read.

What memory would not hold is decoded all the same, and stays on the disk; see `lazy`.
"""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from demist.data.column import Column
from demist.data.dataset import BadFile, Dataset, Samples, choose, samples_digest
from demist.data.files.tree import Tree, read
from demist.data.images.decode import Rules, decode
from demist.data.images.layout import Listing, arrange
from demist.data.images.lazy import Kept, LazyImages, Survey, recall, remember, survey_file
from demist.errors import DataError
from demist.machine.memory import check_memory, fits

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

    Raises:
        DataError: See `arrange`; or too many images are unreadable, they do not share a size or
            number of channels and the rules give none, or memory would not hold them and they can
            only be read in their order.
    """
    place = survey_file(tree, split, rules, limit, max_bad, seed)
    if survey := recall(place):
        return _surveyed(survey, tree, rules)
    listing = arrange(tree, split)
    chosen = choose(len(listing.names), listing.labels, limit, seed)
    x, kept, bad = decode_all(
        tree, [listing.names[i] for i in chosen], rules, max_bad, may_stay=place is not None
    )
    rows = chosen[kept]
    data = Dataset(
        x,
        labels=None if listing.labels is None else listing.labels[rows],
        classes=listing.classes,
        texts=None if listing.texts is None else tuple(listing.texts[i] for i in rows),
        bad=bad,
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
    images = decode_all(tree, names, grey, 0.0)[0]
    return replace(column, values=images[np.array([rows[name] for name in column.values])])


def _with_files(column: Column, tree: Tree, rules: Rules) -> Column:
    """The same, for images that stay on the disk."""
    if column.kind not in ("image", "mask"):
        return column
    grey = replace(rules, channels=1) if column.kind == "mask" else rules
    first = decode(read(tree, column.values[0]), grey)
    return replace(column, values=LazyImages(tree, column.values, grey, first.shape))


def _survey(data: Dataset, columns: Mapping[str, Column]) -> Survey:
    return Survey(
        names=list(data.x.names),
        shape=data.x.shape[1:],
        labels=None if data.labels is None else data.labels.tolist(),
        classes=data.classes,
        texts=data.texts,
        bad=[(bad.path, bad.reason) for bad in data.bad],
        fingerprint=data.fingerprint,
        columns={
            name: Kept(kind=c.kind, values=list(np.asarray(c.values).tolist()), names=c.names)
            for name, c in columns.items()
        },
    )


def _surveyed(survey: Survey, tree: Tree, rules: Rules) -> Dataset:
    return Dataset(
        LazyImages(tree, survey.names, rules, survey.shape),
        labels=None if survey.labels is None else np.array(survey.labels, np.int64),
        classes=survey.classes,
        texts=survey.texts,
        bad=tuple(BadFile(path, reason) for path, reason in survey.bad),
        known_fingerprint=survey.fingerprint,
        columns={
            name: _with_files(kept.column(), tree, rules) for name, kept in survey.columns.items()
        },
    )


def decode_all(
    tree: Tree, names: list[str], rules: Rules, max_bad: float, *, may_stay: bool = False
) -> tuple[Samples, list[int], tuple[BadFile, ...]]:
    """Decode `names`: the good images, their positions in `names`, and the bad files.

    Images that memory would not hold stay where they are, if they may.
    """
    position = {name: index for index, name in enumerate(names)}
    good: dict[int, str] = {}
    bad: dict[int, BadFile] = {}
    x, stay, digest = np.empty((0, 1, 0, 0), np.uint8), False, hashlib.sha256()
    progress = tqdm(total=len(names), desc="reading images", delay=1, leave=False, disable=None)
    with progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about oddities inside single files
        for name, pixels, fault in _decoded(tree, names, rules):
            progress.update()
            index = position[name]
            if pixels is None:
                bad[index] = BadFile(name, fault)
                if len(bad) > max_bad * len(names):
                    raise DataError(_too_many(list(bad.values()), len(names), max_bad, tree.path))
                continue
            if not good:
                shape = (len(names), *pixels.shape)
                stay = may_stay and not fits(shape)
                if not stay:
                    check_memory(shape, str(tree.path))
                x = np.empty((0 if stay else len(names), *pixels.shape), np.uint8)
                digest = samples_digest(x.dtype, shape)
            elif pixels.shape != x.shape[1:]:
                raise DataError(
                    _mismatch(next(iter(good.values())), x.shape[1:], name, pixels.shape)
                )
            if stay:
                digest.update(np.ascontiguousarray(pixels).data)
            else:
                x[index] = pixels
            good[index] = name
    kept = sorted(good)
    faults = tuple(bad[index] for index in sorted(bad))
    if stay:  # files that can be reached at random come in the order of `names`
        known = None if bad else digest
        return LazyImages(tree, [names[i] for i in kept], rules, x.shape[1:], known), kept, faults
    if bad:
        for target, index in enumerate(kept):  # close the gaps in place: x may be large
            x[target] = x[index]
    return x[: len(kept)], kept, faults


_Decoded = tuple[str, np.ndarray | None, str]  # name, pixels, and what is wrong if there are none


def _decoded(tree: Tree, names: list[str], rules: Rules) -> Iterator[_Decoded]:
    """Decode in threads; yield in the order of the tree, holding only a few results."""
    workers = min(8, os.cpu_count() or 1)
    files = tree.stream(names)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[list[_Decoded]]] = deque()
        while True:
            while len(pending) < 4 * workers and (chunk := list(islice(files, _CHUNK))):
                pending.append(pool.submit(_decode_chunk, chunk, rules))
            if not pending:
                return
            yield from pending.popleft().result()


def _decode_chunk(chunk: list[tuple[str, Callable[[], bytes]]], rules: Rules) -> list[_Decoded]:
    return [_attempt(name, reader, rules) for name, reader in chunk]


def _attempt(name: str, reader: Callable[[], bytes], rules: Rules) -> _Decoded:
    try:
        return name, decode(reader(), rules), ""
    except Exception as error:  # a damaged file may make its decoder raise anything
        reason = error.strerror if isinstance(error, OSError) else None
        return name, None, reason or str(error) or type(error).__name__


def _too_many(bad: list[BadFile], count: int, max_bad: float, path: Path) -> str:
    files = "; ".join(f"{file.path!r}: {file.reason}" for file in bad[:3])
    return (
        f"more than {100 * max_bad:.3g} % of the {count} images in {path} cannot be read "
        f"({files}): repair or remove them, or raise --max-bad"
    )


def _mismatch(
    one: str, one_shape: tuple[int, ...], other: str, other_shape: tuple[int, ...]
) -> str:
    if one_shape[0] != other_shape[0]:
        grey, colour = (one, other) if one_shape[0] == 1 else (other, one)
        return f"{grey!r} is grey and {colour!r} is in colour: pass --channels 1 or --channels 3"
    (_, h, w), (_, other_h, other_w) = one_shape, other_shape
    return (
        f"{one!r} is {w} x {h} pixels and {other!r} is {other_w} x {other_h}: "
        "pass --size to give all images one size"
    )
