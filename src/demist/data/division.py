"""What a model learns from, and what is held out: decided here and nowhere else.

Held out is the part "test" of the data, else its part "valid". Where there is neither, it is a
random share of every class of the part "train", which training leaves out; always the same share of
the same data.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from demist.data.dataset import Dataset, choose, rank_in_class
from demist.errors import DataError, UsageError

SHARE = 0.1
"""Of every class that is held out, if nobody says another."""
ITEMS, OF_CLASS = 100, 10
"""With fewer items, or fewer of a class, training leaves nothing out unless it is told to."""
FEWEST = 10
"""Items that can be divided at all."""
MEASURED = 50_000
"""How many samples of data that memory would not hold are measured against: the field's custom."""

Part = Callable[[str], Dataset]
"""Loads the data of a split."""


@dataclass(frozen=True)
class Learned:
    """What training sees.

    Attributes:
        data: All that it learns from.
        hold_out: Share that was left out; where a part of the data is held out none was, and it is
            as asked, so that the same command is known again.
        sentence: The same for people; "": there is nothing to say.
    """

    data: Dataset
    hold_out: float | None
    sentence: str


@dataclass(frozen=True)
class Division:
    """Data in two, in memory; of more than memory holds, `MEASURED` samples of each.

    Attributes:
        train: To learn from.
        test: Held out.
        learned: Fingerprint of all that a model learns from; "": it is in several shapes.
        undivided: Fingerprint of both together, if they are shares of one part; else "".
    """

    train: Dataset
    test: Dataset
    learned: str
    undivided: str = ""


def to_learn(
    part: Part, splits: Collection[str], hold_out: float | None, by_facts: bool = False
) -> Learned:
    """What to train on.

    Args:
        part: Loads the data of a split.
        splits: Which there are.
        hold_out: Share of every class to leave out, where there is neither a part "test" nor a
            part "valid"; None: `SHARE`, if there are enough items.
        by_facts: As for `held_out_rows`.

    Raises:
        UsageError: There are too few items to leave some out.
    """
    whole = part("train")
    if held_out_part(splits):
        return Learned(whole, hold_out, "")
    n = len(whole)
    fewest = n if whole.labels is None else _smallest_class(whole.labels)
    few = n < ITEMS or fewest < OF_CLASS
    share = hold_out if hold_out is not None else 0.0 if few else SHARE
    if not share:
        why = f": {n:,} items, {fewest} of a class, are too few" if few and hold_out is None else ""
        more = "; --hold-out 0.1 leaves some out all the same" if why and n >= FEWEST else ""
        return Learned(
            whole, 0.0, f"nothing is held out for an honest `demist evaluate`{why}{more}"
        )
    if n < FEWEST:
        raise UsageError(
            f"--hold-out {share:g}: of {n} items none can be left out; give {FEWEST} or more"
        )
    train, _ = whole.divided(held_out_rows(whole, share, by_facts))
    classes = "" if whole.labels is None else " of every class"
    return Learned(
        train,
        share,
        f"held out for `demist evaluate`: {n - len(train):,} of {n:,} items, drawn at random"
        f"{classes}; --hold-out 0 learns from all",
    )


def divided(
    part: Part,
    splits: Collection[str],
    hold_out: float | None = None,
    by_facts: bool = False,
) -> Division:
    """Training and held-out data to measure with.

    Args:
        part: Loads the data of a split.
        splits: Which there are.
        hold_out: What the model was trained with; None or 0: `SHARE` is held out of the
            measurement, whether or not a model has seen it.
        by_facts: As for `held_out_rows`, of data that a model learned from in other shapes.

    Raises:
        DataError: The data is damaged, or too small to be divided.
    """
    whole = part("train")
    if held := held_out_part(splits):
        learned = "" if by_facts else whole.fingerprint
        return Division(in_memory(whole), in_memory(part(held)), learned)
    if len(whole) < FEWEST:
        raise DataError(
            f'{whole.name or "the data"} has {len(whole)} items and no part "test"; to measure '
            f"against it takes {FEWEST} or more"
        )
    undivided = "" if by_facts else whole.fingerprint
    train, test = whole.divided(held_out_rows(whole, hold_out or SHARE, by_facts))
    learned = "" if by_facts else train.fingerprint
    return Division(in_memory(train), in_memory(test), learned, undivided)


def held_out_part(splits: Collection[str]) -> str:
    """The part of the data that is held out; "" if there is none."""
    return next((split for split in ("test", "valid") if split in splits), "")


def held_out_rows(data: Dataset, share: float, by_facts: bool = False) -> Int64[np.ndarray, "m"]:
    """Which items are held out: at random, of every class in proportion; two or more.

    The data's fingerprint is the seed: the same data has the same items held out, always.

    Args:
        data: All of it.
        share: Of each class.
        by_facts: The seed is what is known of the items but their pixels, so that the same are held
            out in whatever shapes they are read.
    """
    labels = np.zeros(len(data), np.int64) if data.labels is None else data.labels
    quota = proportional(np.bincount(labels), max(2, round(share * len(data))))
    seed = _facts_of(data) if by_facts else data.fingerprint
    order = np.random.default_rng(int(seed[:16], 16)).permutation(len(data))
    some = rank_in_class(labels[order]) < quota[labels[order]]
    return np.sort(order[some])


def proportional(counts: Int64[np.ndarray, "k"], total: int) -> Int64[np.ndarray, "k"]:
    """Whole numbers that sum to `total`, in the proportions of `counts`: largest remainders.

    Of equal remainders the first wins; what counts 0 gets 0.

    Raises:
        DataError: All counts are 0.
    """
    counts = np.asarray(counts, np.int64)
    if not counts.any():
        raise DataError("there is nothing whose proportions could be kept: all counts are 0")
    share, rest = np.divmod(counts * total, counts.sum())
    order = np.argsort(-rest, kind="stable")
    share[order[: total - int(share.sum())]] += 1
    return share


def in_memory(data: Dataset) -> Dataset:
    """The data in memory; if it stays on the disk, `MEASURED` samples of it."""
    if not data.lazy:
        return data
    some = data.subset(choose(len(data), data.labels, MEASURED, 0))
    return replace(some, x=some.x[:])


def _facts_of(data: Dataset) -> str:
    labels = () if data.labels is None else data.labels.tolist()
    return hashlib.sha256(repr((len(data), labels, data.texts)).encode()).hexdigest()


def _smallest_class(labels: np.ndarray) -> int:
    counts = np.bincount(labels)
    return int(counts[counts > 0].min(initial=len(labels)))
