"""Long captions among short ones: what a model of prompts learns from in the way of DALL-E 3.

Long captions say what is to be seen, and short ones are what people write. A model of long ones
alone forgets how people write, so 5 of 100 stay short.

References:
    Betker et al. 2023, "Improving Image Generation with Better Captions", section 3.3 and table 3.
"""

from dataclasses import replace

import numpy as np

from demist.data.column import Column
from demist.data.dataset import Dataset
from demist.errors import UsageError

SHARE = 0.95
"""Of the captions of the training part, those that are long; of other parts, all are."""


def long_ones(count: int, split: str, seed: int = 0) -> np.ndarray:
    """Which of so many captions are long, bool `(count,)`."""
    share = SHARE if split == "train" else 1.0
    return np.random.default_rng([seed, 11]).random(count) < share


def with_long_captions(data: Dataset, name: str, split: str, seed: int = 0) -> Dataset:
    """The data with captions of another column in the place of most of its own.

    Args:
        data: With captions.
        name: Of the column of long ones, which it has not any more.
        split: Which part of the data it is.
        seed: Others choose other samples.

    Raises:
        UsageError: There are no captions, or there is no such column with a text for each sample.
    """
    where, short = data.name or "the data", data.texts
    column = data.columns.get(name)
    if short is None:
        raise UsageError(
            f"long_captions = {name!r} takes the place of captions, and {where} has none; name the "
            f"column of long ones with caption_column instead"
        )
    if column is None or column.kind not in ("text", "class"):
        others = [key for key, one in data.columns.items() if one.kind in ("text", "class")]
        has = ", ".join(key for key in others if key not in ("text", "label")) or "no such column"
        raise UsageError(
            f"long_captions = {name!r}: {where} has no column of that name with a text for each "
            f"sample; it has {has}"
        )
    long = _texts(column)
    chosen = long_ones(len(data), split, seed)
    texts = tuple(b if is_long else a for a, b, is_long in zip(short, long, chosen, strict=True))
    columns = {key: one for key, one in data.columns.items() if key != name}
    note = f"{int(chosen.sum()):,} captions are those of the column {name}, the others short ones."
    seen = replace(data.seen, notes=(*data.seen.notes, note))
    known = {**columns, "text": Column("text", texts)}
    return replace(data, columns=known, known_fingerprint="", seen=seen)


def _texts(column: Column) -> tuple[str, ...]:
    """The texts of a column; those that repeat are read as classes."""
    if column.kind == "text":
        return tuple(column.values)
    return tuple(column.names[index] for index in column.values)
