"""Many encoded pictures become one array: in threads, in order, counting what cannot be read."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from demist.data.dataset import BadFile, Dataset, choose
from demist.data.decode import Rules, decode
from demist.data.layout import arrange
from demist.data.memory import check_memory
from demist.data.tree import Tree
from demist.errors import DataError

_CHUNK = 16  # pictures per task: hides the cost of a task behind small pictures


def read_pictures(
    tree: Tree, split: str, rules: Rules, *, limit: int | None, max_bad: float, seed: int
) -> Dataset:
    """Decode the pictures of one split of a folder or archive.

    Args:
        tree: The files.
        split: "train", "valid" or "test".
        rules: How to decode.
        limit: Use at most so many, chosen by `choose`.
        max_bad: Largest fraction of pictures that may be unreadable; they are skipped.
        seed: Seed of the choice.

    Raises:
        DataError: See `arrange`; or too many pictures are unreadable, they do not share a size or
            number of channels and the rules give none, or memory would not hold them.
    """
    listing = arrange(tree, split)
    chosen = choose(len(listing.names), listing.labels, limit, seed)
    x, kept, bad = decode_all(tree, [listing.names[i] for i in chosen], rules, max_bad)
    rows = chosen[kept]
    return Dataset(
        x,
        labels=None if listing.labels is None else listing.labels[rows],
        classes=listing.classes,
        texts=None if listing.texts is None else tuple(listing.texts[i] for i in rows),
        bad=bad,
    )


def decode_all(
    tree: Tree, names: list[str], rules: Rules, max_bad: float
) -> tuple[UInt8[np.ndarray, "m c h w"], list[int], tuple[BadFile, ...]]:
    """Decode `names`: the good pictures, their positions in `names`, and the bad files."""
    position = {name: index for index, name in enumerate(names)}
    good: dict[int, str] = {}
    bad: dict[int, BadFile] = {}
    x = np.empty((0, 1, 0, 0), np.uint8)
    progress = tqdm(total=len(names), desc="reading pictures", delay=1, leave=False, disable=None)
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
                check_memory((len(names), *pixels.shape), str(tree.path))
                x = np.empty((len(names), *pixels.shape), np.uint8)
            elif pixels.shape != x.shape[1:]:
                raise DataError(
                    _mismatch(next(iter(good.values())), x.shape[1:], name, pixels.shape)
                )
            x[index] = pixels
            good[index] = name
    kept = sorted(good)
    if bad:
        for target, index in enumerate(kept):  # close the gaps in place: x may be large
            x[target] = x[index]
    return x[: len(kept)], kept, tuple(bad[index] for index in sorted(bad))


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
        f"more than {100 * max_bad:.3g} % of the {count} pictures in {path} cannot be read "
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
        "pass --size to give all pictures one size"
    )
