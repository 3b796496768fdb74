"""The data that a run's options name: what it learns from, and what is held out of it."""

from demist.config import DataConfig
from demist.data import Dataset
from demist.data.division import Division, Learned
from demist.data.division import divided as divided_parts
from demist.data.division import to_learn as part_to_learn
from demist.modalities.find import load, splits

READ = (
    "kind", "size", "channels", "background", "fit", "range", "limit", "max_bad", "label_column",
    "caption_column", "class_level",
)  # fmt: skip
"""Options that decide how data is read."""


def part(options: DataConfig, split: str) -> Dataset:
    """A split of the data; see `demist.load`, which says what is raised, too."""
    return load(options.path, split=split, **{name: getattr(options, name) for name in READ})


def to_learn(options: DataConfig) -> Learned:
    """What to train on; see `demist.data.division.to_learn`."""
    there = splits(options.path, options.kind)
    return part_to_learn(lambda split: part(options, split), there, options.hold_out)


def divided(options: DataConfig) -> Division:
    """Training and held-out data to measure with; see `demist.data.division.divided`."""
    there = splits(options.path, options.kind)
    return divided_parts(lambda split: part(options, split), there, options.hold_out)
