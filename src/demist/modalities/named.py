"""The data that a run's options name: what it learns from, and what is held out of it."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from demist.config import DataConfig
from demist.data import Dataset
from demist.data.division import Division, Learned
from demist.data.division import divided as divided_parts
from demist.data.division import to_learn as part_to_learn
from demist.data.images.reduced import averaged
from demist.data.images.told import NAMES as NAMES_OF_SIZES
from demist.data.load import buckets_of
from demist.data.long_captions import with_long_captions
from demist.errors import UsageError
from demist.modalities.reading import load, splits

READ = (
    "kind", "size", "channels", "background", "fit", "range", "limit", "max_bad", "label_column",
    "caption_column", "class_level", "buckets", "rate", "seconds",
)  # fmt: skip
"""Options that decide how data is read."""


def part(options: DataConfig, split: str) -> Dataset:
    """A split of the data; see `demist.load`, which says what is raised, too."""
    given = {name: getattr(options, name) for name in READ}
    if is_one_shape(options):
        given["buckets"] = None
    data = load(options.path, split=split, sizes=with_sizes(options), **given)
    if options.reduce > 1 and given["buckets"] is not None:
        raise UsageError(
            f"reduce = {options.reduce} averages images of one shape, and --buckets makes several; "
            f"leave one out"
        )
    if options.long_captions is not None:
        data = with_long_captions(data, options.long_captions, split)
    return averaged(data, options.reduce)


def as_loaded(options: DataConfig) -> DataConfig:
    """What decides which data is loaded; all other options as they are usually."""
    names = ("path", "reduce", "hold_out", *READ)
    kept = {name: getattr(options, name) for name in names}
    return DataConfig(**kept, sizes=with_sizes(options))


def with_sizes(options: DataConfig) -> bool:
    """Whether the sizes that images had are wanted."""
    chosen = re.findall(r"\w+", options.conditions or "")
    return options.sizes or bool(set(chosen) & set(NAMES_OF_SIZES))


def of_one_shape(options: DataConfig) -> DataConfig:
    """The same with one bucket: all images in the shape that samples have where none is named."""
    if options.buckets is None:
        return options
    height, width = buckets_of(options.buckets, options.size)[0]
    return replace(options, buckets=f"{height}x{width}", size=f"{height}x{width}")


def is_one_shape(options: DataConfig) -> bool:
    """Whether there is but one bucket, so that all images are brought to the size."""
    return options.buckets is not None and options.buckets == options.size


def to_learn(options: DataConfig) -> Learned:
    """What to train on; see `demist.data.division.to_learn`."""
    there = splits(options.path, options.kind)
    return part_to_learn(
        lambda split: part(options, split), there, options.hold_out, options.buckets is not None
    )


def remembering() -> Callable[[DataConfig], Learned]:
    """`to_learn`, which keeps what it loaded last: most stages of a run learn from the same."""
    kept = lru_cache(maxsize=1)(to_learn)
    return lambda options: kept(as_loaded(options))


def divided(options: DataConfig) -> Division:
    """Training and held-out data to measure with; see `demist.data.division.divided`."""
    there = splits(options.path, options.kind)
    wanted = [of_one_shape(options)]

    def one(split: str) -> Dataset:
        data = part(wanted[-1], split)
        if options.channels is None and data.x.dtype == np.uint8:
            # A held-out part whose images all happen to be grey is compared in colour, too.
            wanted.append(replace(wanted[-1], channels=data.x.shape[1]))
        return data

    return divided_parts(one, there, options.hold_out, options.buckets is not None)
