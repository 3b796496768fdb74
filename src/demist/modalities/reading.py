"""Load data of any modality, and its parts."""

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from demist.data import NAMES, Dataset, files_at
from demist.data import load as load_usual
from demist.data import splits as usual_splits
from demist.data.division import divided
from demist.data.images.layout import split_word
from demist.data.load import existing
from demist.data.readers.arrays import called_arrays
from demist.errors import UsageError
from demist.io import hub
from demist.modalities.files import recognise
from demist.modalities.kinds import MODALITIES, of
from demist.modalities.modality import Modality, Wanted


def load(
    path: str,
    *,
    kind: str | None = None,
    size: int | str | tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    fit: str = "crop",
    range: str | None = None,  # noqa: A002 (the flag's name)
    split: str = "train",
    limit: int | None = None,
    max_bad: float = 0.01,
    seed: int = 0,
    label_column: str | None = None,
    caption_column: str | None = None,
    class_level: int | None = None,
    buckets: str | None = None,
    sizes: bool = False,
    rate: int | None = None,
    seconds: float | None = None,
) -> Dataset:
    """Load a built-in data set or the user's own, of any kind.

    Args:
        path: As for `demist.data.load`; or files of another modality.
        kind: Name of a modality; None: shapes of arrays and endings of files say it.
        size: As for `demist.data.load`; so are all below.
        channels: Of images.
        background: Of images.
        fit: Of images.
        range: Of images.
        split: "train", "valid" or "test".
        limit: At most so many samples.
        max_bad: Largest fraction of files that may be unreadable.
        seed: Of the choice for `limit`.
        label_column: Of images.
        caption_column: Of images.
        class_level: Of images.
        buckets: Of images.
        sizes: Of images.
        rate: Of sounds, samples a second; None: that of most files, at most 16,000.
        seconds: Of sounds, how long each is made; None: as 95 of 100 files, at most 4.

    Raises:
        UsageError: An option makes no sense, or two kinds of data lie there and `kind` does not
            say which to take.
        DemistError: As `demist.data.load`.
    """
    wanted = Wanted(
        size, channels, background, fit, range, split, limit, max_bad, seed, label_column,
        caption_column, class_level, buckets, sizes, rate, seconds,
    )  # fmt: skip
    if kind is not None and kind not in MODALITIES.names():
        raise UsageError(f"kind = {kind!r}: choose {' or '.join(MODALITIES.names())}")
    if path in NAMES:
        data = load_usual(path, **wanted.still())
        modality = of(data)
        if kind not in (None, modality.name):
            raise UsageError(
                f"{path} holds {modality.name}, and {kind} are asked for; give their path, or "
                "leave out --kind"
            )
        _require_lasting(path, modality, wanted)
        if modality.lasting:
            _require_as_made(path, modality.options_of(data.x.shape[1:]), wanted)
        return data
    place = existing(path)
    modality, place, tree, unread = recognise(place, kind, wanted.split)
    if not modality.spatial and (wanted.size is not None or wanted.channels is not None):
        raise UsageError(
            f"{path} holds {modality.name}: --size and --channels are for images; leave them out, "
            f"or say --size none --channels none where a recipe has them"
        )
    _require_lasting(path, modality, wanted)
    if place != existing(path) and split_word(place.name):
        wanted = replace(wanted, split="train")  # all of the file, whose name says the split
    data = modality.read(place, wanted, tree)
    name = data.name if place == existing(path) else hub.title(existing(path).resolve())
    return replace(data, name=name, source=path, kind=data.kind or modality.name, unread=unread)


def splits(path: str, kind: str | None = None) -> tuple[str, ...]:
    """Which of train, valid and test the data has; no sample is read.

    Args:
        path: As for `load`, which says what is raised, too.
        kind: Name of a modality.
    """
    if path in NAMES:
        return usual_splits(path)
    place = existing(path)
    modality, one, tree, _ = recognise(place, kind, "train")
    if one != place and split_word(one.name):  # a file for each split
        words = (
            split_word(posixpath.basename(n)) for n in files_at(path).names if called_arrays(n)
        )
        return tuple(dict.fromkeys(filter(None, words)))
    return modality.splits(one, tree)


def train_and_test(
    path: str,
    *,
    kind: str | None = None,
    size: int | str | tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    fit: str = "crop",
    range: str | None = None,  # noqa: A002 (the flag's name)
    limit: int | None = None,
    max_bad: float = 0.01,
    label_column: str | None = None,
    caption_column: str | None = None,
    class_level: int | None = None,
    rate: int | None = None,
    seconds: float | None = None,
) -> tuple[Dataset, Dataset]:
    """Training and held-out data; see `demist.data.division`.

    Args:
        path: As for `load`; so are all below.
        kind: Name of a modality.
        size: Of images.
        channels: Of images.
        background: Of images.
        fit: Of images.
        range: Of images.
        limit: At most so many samples of each.
        max_bad: Largest fraction of unreadable files.
        label_column: Of images.
        caption_column: Of images.
        class_level: Of images.
        rate: Of sounds.
        seconds: Of sounds.
    """

    def part(split: str) -> Dataset:
        return load(
            path, kind=kind, size=size, channels=channels, background=background, fit=fit,
            range=range, split=split, limit=limit, max_bad=max_bad, label_column=label_column,
            caption_column=caption_column, class_level=class_level, rate=rate,
            seconds=seconds,
        )  # fmt: skip

    found = divided(part, splits(path, kind))
    return found.train, found.test


def _require_lasting(path: str, modality: Modality, wanted: Wanted) -> None:
    if not modality.lasting and (wanted.rate is not None or wanted.seconds is not None):
        raise UsageError(
            f"{path} holds {modality.name}: --rate and --seconds are for sounds; leave them out"
        )


def _require_as_made(path: str, made: Mapping[str, Any], wanted: Wanted) -> None:
    """Sounds made by code have one rate and length."""
    other = (wanted.rate, wanted.seconds) != (
        made["rate"] if wanted.rate else None,
        made["seconds"] if wanted.seconds else None,
    )
    if other:
        raise UsageError(
            f"{path} are {made['seconds']:g} s of {made['rate']:,} samples a second each: leave "
            f"out --rate and --seconds"
        )
