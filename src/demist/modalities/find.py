"""Which modality a shape or a path is of. Nobody else finds out."""

import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from demist.data import NAMES, Dataset, Tree, files_at
from demist.data import load as load_usual
from demist.data import splits as usual_splits
from demist.data.division import divided
from demist.data.files.folder import Folder
from demist.data.images.layout import canonical_split, split_word
from demist.data.load import existing, reader_of
from demist.data.readers import Source, arrays, shapes
from demist.data.readers.labels import labels_of
from demist.errors import DataError, UsageError
from demist.io import hub
from demist.modalities.modality import Modality, Shape, Wanted
from demist.parts import Family

MODALITIES: Family[Modality] = Family("kind of data", Modality, "modalities")  # type: ignore[type-abstract]


def every() -> list[Modality]:
    """All modalities, by name."""
    return [MODALITIES.make(name) for name in MODALITIES.names()]


def of_shape(shape: Shape) -> Modality:
    """The modality of samples of this shape, such as `Pipeline.shape`.

    Raises:
        UsageError: None has samples of that shape, or several have.
    """
    fitting = [modality for modality in every() if modality.fits(tuple(shape))]
    if len(fitting) != 1:
        which = " or ".join(m.name for m in fitting) or f"none of {', '.join(MODALITIES.names())}"
        raise UsageError(f"samples of shape {tuple(shape)} could be {which}; say which with `kind`")
    return fitting[0]


def of(what: Any) -> Modality:
    """The modality of a data set, or of a model.

    Its name is on record where its shape does not tell it.

    Args:
        what: A `Dataset`, a `Pipeline`, or anything else with a `shape` and `facts`.

    Raises:
        UsageError: The name is unknown, or missing where it is needed.
    """
    if isinstance(what, Dataset):
        return MODALITIES.make(what.kind) if what.kind else of_shape(what.x.shape[1:])
    kind = what.facts.get("kind")
    return MODALITIES.make(str(kind)) if kind else of_shape(what.shape)


def record(data: Dataset) -> dict[str, str]:
    """What a model's facts say of the modality of its data: nothing, if the shape tells it."""
    fitting = [modality.name for modality in every() if modality.fits(data.x.shape[1:])]
    return {"kind": data.kind} if data.kind and fitting != [data.kind] else {}


_FEW = 200
"""Array files among which labels of other ones are looked for."""


@dataclass(frozen=True)
class Count:
    """What lies in a folder or an archive.

    Attributes:
        files: Name of a modality -> its files.
        others: All other files.
    """

    files: Mapping[str, tuple[str, ...]]
    others: tuple[str, ...]

    def unread(self, modality: Modality) -> dict[str, int]:
        """Ending -> how many files have it that a reader of `modality` does not look at."""
        own = set(self.files.get(modality.name, ()))
        names = [name for part in (*self.files.values(), self.others) for name in part]
        left = (_ending(name) for name in names if name not in own)
        return dict(Counter(e or "no ending" for e in left if e not in modality.companions))


def count(tree: Tree) -> Count:
    """Count the files of every modality, by their endings.

    An array file is of the modality that claims its shape; but one that is called like a file
    beside it (`a.jpg`, `a.npy`) says more of that, and one that holds the labels of another is not
    counted.
    """
    owners = {ending: m.name for m in every() for ending in m.endings}
    files: dict[str, list[str]] = {}
    rest: list[str] = []
    for name in tree.names:
        owner = owners.get(_ending(name))
        (files.setdefault(owner, []) if owner else rest).append(name)
    is_folder, few = isinstance(tree, Folder), sum(map(_is_array, rest)) <= _FEW
    stems = {_stem(name) for names in files.values() for name in names}
    others = [n for n in rest if not _is_array(n) or _stem(n) in stems or not is_folder]
    owned = {n: _owner_of_array(tree.path / n) for n in rest if n not in set(others)}
    labels = {labels_of(n, owned) for n in owned if owned[n] == "images"} if few else set()
    for name, owner in owned.items():
        if name not in labels:
            (files.setdefault(owner, []) if owner else others).append(name)
    return Count({name: tuple(found) for name, found in files.items()}, tuple(others))


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
            raise UsageError(f"--kind {kind}: {path} holds {modality.name}; leave it out")
        _require_lasting(path, modality, wanted)
        if modality.lasting:
            _require_as_made(path, modality.options_of(data.x.shape[1:]), wanted)
        return data
    place = existing(path)
    modality, place, tree, unread = _decide(place, kind, wanted.split)
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
    modality, one, tree, _ = _decide(place, kind, "train")
    if one != place and split_word(one.name):  # a file for each split
        words = (split_word(posixpath.basename(n)) for n in files_at(path).names if _is_array(n))
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


def _decide(
    place: Path, kind: str | None, split: str
) -> tuple[Modality, Path, Tree | None, dict[str, int]]:
    """The modality of what lies there, what to read of it, its files, and those left unread."""
    source = Source(str(place), place)
    if not place.is_dir():
        if arrays.is_arrays(place):
            return _of_array(place, kind, split), place, None, {}
        own = [m.name for m in every() if place.suffix.lower() in m.endings]
        if len(own) == 1 or source.tree is None:
            reader = reader_of(source)
            usual = own[0] if len(own) == 1 else "images" if reader is None else reader.kind
            return MODALITIES.make(kind or usual), place, None, {}
    tree = source.tree
    assert tree is not None
    reader = reader_of(source)
    if reader is not None and reader.packed:
        if kind not in (None, reader.kind):
            raise UsageError(f"--kind {kind}: {place} holds {reader.kind}; leave it out")
        return MODALITIES.make(reader.kind), place, tree, {}
    found = count(tree)
    modality = _chosen(place, found, kind)
    names = found.files.get(modality.name, ())
    if not found.files:
        _require_no_arrays(place, [n for n in found.others if _is_array(n)], kind, split)
    own_arrays = [name for name in names if _is_array(name)]
    unread = found.unread(modality)
    if own_arrays and len(own_arrays) == len(names):
        one = _one_array(place, own_arrays, split)
        return modality, place / one, None, unread
    return modality, place, tree, unread


def _chosen(place: Path, found: Count, kind: str | None) -> Modality:
    counts = {name: len(names) for name, names in found.files.items()}
    there = " and ".join(f"{n} file{'s' * (n > 1)} of {name}" for name, n in counts.items())
    if kind is not None:
        if counts and kind not in counts:
            raise UsageError(f"--kind {kind}: {place} has no such files; it has {there}")
        return MODALITIES.make(kind)
    if len(counts) > 1:
        flags = " or ".join(f"--kind {name}" for name in counts)
        raise UsageError(f"{place} holds {there}; say which to learn from with {flags}")
    return MODALITIES.make(next(iter(counts), "images"))


def _one_array(place: Path, names: list[str], split: str) -> str:
    """The array file of a split, or the only one."""
    if len(names) == 1 and not split_word(posixpath.basename(names[0])):
        return names[0]
    by_split = {split_word(posixpath.basename(name)): name for name in names}
    wanted = canonical_split(split)
    if len(by_split) == len(names) and "" not in by_split:
        if wanted not in by_split:
            raise DataError(
                f"{place} has no split {wanted!r}; it has {', '.join(sorted(by_split))}"
            )
        return by_split[wanted]
    raise DataError(
        f"{place} holds {len(names)} array files, such as {names[0]} and {names[1]}: name one of "
        "them, or call them train.npy and test.npy"
    )


def _require_no_arrays(place: Path, names: list[str], kind: str | None, split: str) -> None:
    """Say why the arrays of a folder are not read, where nothing else lies there."""
    if not names:
        return
    if len(names) > 1:
        raise DataError(
            f"{place} holds {len(names)} array files, such as {names[0]}, and none holds images or "
            "points by its shape: stack them along a new first axis and save them as one .npy, or "
            "name one of them"
        )
    _of_array(place / names[0], kind, split)


def _of_array(path: Path, kind: str | None, split: str) -> Modality:
    """The modality of an array file.

    Raises:
        DataError: None or several claim it.
    """
    if kind is not None:
        return MODALITIES.make(kind)
    word = canonical_split(split)
    shape, dtype = arrays.head(path, word)
    claiming = _claiming(shape, dtype)
    if len(claiming) == 1:
        return claiming[0]
    if not claiming:
        raise shapes.refusal(shape, dtype, str(path), _others())
    names = " or ".join(f"--kind {m.name}" for m in claiming)
    raise UsageError(f"{path} has the shape {shape} and type {dtype}; say what it is with {names}")


def _owner_of_array(path: Path) -> str | None:
    try:
        claiming = _claiming(*arrays.head(path, "train"))
    except DataError:
        return None
    return claiming[0].name if len(claiming) == 1 else None


def _claiming(shape: Shape, dtype: np.dtype[Any]) -> list[Modality]:
    return [modality for modality in every() if modality.claims(shape, dtype)]


def _others() -> str:
    """What further modalities have arrays, in words."""
    return "".join(f"; {m.name} are {m.arrays}" for m in every() if m.name not in arrays.KINDS)


def _is_array(name: str) -> bool:
    return _ending(name) in arrays.ENDINGS


def _ending(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _stem(name: str) -> str:
    """The path without any ending: `a/b` for `a/b.states.npy`."""
    folder, base = posixpath.split(name)
    return posixpath.join(folder, base.partition(".")[0])
