"""Which modality files are of: by their endings and the shapes of arrays. Nobody else finds out."""

import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demist.data import Tree
from demist.data.files.folder import Folder
from demist.data.images.layout import canonical_split, split_word
from demist.data.load import reader_of
from demist.data.readers import Source, arrays, shapes
from demist.data.readers.labels import labels_of
from demist.errors import DataError, UsageError
from demist.modalities.kinds import MODALITIES, every
from demist.modalities.modality import Modality, Shape

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
    is_folder, few = isinstance(tree, Folder), sum(map(arrays.called_arrays, rest)) <= _FEW
    stems = {_stem(name) for names in files.values() for name in names}
    others = [n for n in rest if not arrays.called_arrays(n) or _stem(n) in stems or not is_folder]
    owned = {n: _owner_of_array(tree.path / n) for n in rest if n not in set(others)}
    labels = {labels_of(n, owned) for n in owned if owned[n] == "images"} if few else set()
    for name, owner in owned.items():
        if name not in labels:
            (files.setdefault(owner, []) if owner else others).append(name)
    return Count({name: tuple(found) for name, found in files.items()}, tuple(others))


def recognise(
    place: Path, kind: str | None, split: str
) -> tuple[Modality, Path, Tree | None, dict[str, int]]:
    """The modality of what lies there, what to read of it, its files, and those left unread.

    Args:
        place: A file or a folder.
        kind: Name of a modality; None: found out.
        split: Whose array file is wanted, where each split has one.

    Raises:
        UsageError: Two kinds of data lie there and `kind` does not say which to take.
        DataError: Nothing there can be read.
    """
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
            raise UsageError(
                f"{place} holds {reader.kind}, and {kind} are asked for; give their path, or leave "
                "out --kind"
            )
        return MODALITIES.make(reader.kind), place, tree, {}
    found = count(tree)
    modality = _chosen(place, found, kind)
    names = found.files.get(modality.name, ())
    if not found.files:
        _require_no_arrays(place, [n for n in found.others if arrays.called_arrays(n)], kind, split)
    own_arrays = [name for name in names if arrays.called_arrays(name)]
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


def _ending(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _stem(name: str) -> str:
    """The path without any ending: `a/b` for `a/b.states.npy`."""
    folder, base = posixpath.split(name)
    return posixpath.join(folder, base.partition(".")[0])
