"""Which files of a tree are the images of a split, and what they are called.

1. Images are the files with an image's extension. Folders that all of them share at the top are
   passed over.
2. If everything then lies in folders called train, test, valid or a synonym, these are the splits;
   otherwise all of it is the split "train".
3. With a metadata file, labels, texts and further columns come from there only; images that these
   name are no samples.
   Labels that never repeat, beside texts, are titles and not classes.
4. Otherwise files beside an image that are called like it say what it is, as in WebDataset:
   `a.json` an object with "label", and "text" or "caption"; failing that, `a.cls` the class and
   `a.txt` the caption.
   `a.mask.png` and `a.cond.png` beside `a.png` are a mask and an image that condition it; further
   keys of the object are columns as those of metadata (see `further`).
5. Without a class there, the next folder is the class, however deep the image lies below it.
6. Classes are those of all splits, in natural order: "2" before "10". One class is no class.
"""

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from demist.data.column import Column
from demist.data.dataset import label_indices
from demist.data.files.tree import Tree
from demist.data.images.decode import extensions
from demist.data.images.further import Row, further, natural
from demist.data.images.metadata import read_companions, read_metadata
from demist.data.report import Report
from demist.errors import DataError, UsageError

_SYNONYMS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
BESIDE = {"mask": "mask", "cond": "image"}
"""Words before the extension of an image that belongs to another one -> kind of their column."""
SPLITS = {word: split for split, words in _SYNONYMS.items() for word in words}


@dataclass(frozen=True)
class Listing:
    """The images of one split, sorted by name, with what is known of each.

    Columns of images and masks hold names of files. `seen` is what was seen of the files, as far as
    it is known without opening images.
    """

    names: tuple[str, ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    texts: tuple[str, ...] | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    seen: Report = field(default_factory=Report)


def canonical_split(word: str) -> str:
    """The split that `word` means: train, valid or test."""
    if word.lower() not in SPLITS:
        raise UsageError(f"there is no split {word!r}: choose train, valid or test")
    return SPLITS[word.lower()]


def split_word(name: str) -> str:
    """The split that the name of a file speaks of, as `photos-val-0001.tar` does; "" for none."""
    words = re.split("[^a-z]+", name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def require_split(split: str, found: Collection[str], name: str) -> None:
    """Raise DataError if `split` is not among those `found` in the data set `name`."""
    if split not in found:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(sorted(found))}")


def is_picture(name: str) -> bool:
    """Whether a file is called like an image."""
    return posixpath.splitext(name)[1].lower() in extensions()


def arrange(tree: Tree, split: str) -> Listing:
    """List the images of `split` with labels and texts, by the rules above.

    Raises:
        DataError: No images, no such split, or labels that do not match the images.
    """
    splits, parts = _divide(tree)
    require_split(split, set(splits.values()), str(tree.path))
    chosen = [name for name in splits if splits[name] == split]
    beside = _beside(splits, tree)
    rows = read_metadata(tree)
    if rows:
        listing = _from_metadata(chosen, rows, tree)
        return replace(listing, columns={**listing.columns, **_images(listing.names, beside)})
    rows = read_companions(tree, list(splits))
    if any(row.label is not None for row in rows.values()):
        listing = _from_metadata(chosen, rows, tree)
    else:
        listing = _from_folders(chosen, {n: p[0] if len(p) > 1 else "" for n, p in parts.items()})
        texts = _column("text", {name: rows[name].text for name in chosen})
        listing = replace(listing, texts=texts, columns=further(rows, chosen, tree.names))
    return replace(listing, columns={**listing.columns, **_images(chosen, beside)})


def splits_of(tree: Tree) -> tuple[str, ...]:
    """The splits that a tree of images has; see `arrange`."""
    return tuple(sorted(set(_divide(tree)[0].values())))


def _divide(tree: Tree) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The split of every image, and the parts of its name that follow it."""
    pictures = [name for name in tree.names if is_picture(name)]
    extra = {file for files in _beside(pictures, tree).values() for file in files.values()}
    pictures = [name for name in pictures if name not in extra]
    if not pictures:
        raise DataError(_no_pictures(tree))
    places = {name: tree.place(name) for name in pictures}
    depth = _shared_depth(list(places.values()))
    parts = {name: place.split("/")[depth:] for name, place in places.items()}
    tops = {p[0].lower() if len(p) > 1 else "" for p in parts.values()}
    if not tops <= SPLITS.keys():
        return dict.fromkeys(pictures, "train"), parts
    splits = {name: SPLITS[p[0].lower()] for name, p in parts.items()}
    return splits, {name: p[1:] for name, p in parts.items()}


def _shared_depth(pictures: Sequence[str]) -> int:
    shared = posixpath.commonpath([posixpath.dirname(name) for name in pictures])
    parts = shared.split("/") if shared else []
    return next((i for i, part in enumerate(parts) if part.lower() in SPLITS), len(parts))


def _from_folders(chosen: list[str], folder: dict[str, str]) -> Listing:
    """Labels from the class folder of every image, "" meaning none."""
    classes = sorted(set(folder.values()) - {""}, key=natural)
    loose = [name for name in chosen if not folder[name]]
    if len(loose) == len(chosen) or (len(classes) == 1 and not loose):
        return Listing(tuple(chosen))
    if loose:
        raise DataError(
            f"{len(loose)} of {len(chosen)} images lie beside the class folders, "
            f"first {loose[0]!r}: move them into one, or give all labels in a metadata.csv"
        )
    labels = label_indices([folder[name] for name in chosen], classes)
    return Listing(tuple(chosen), labels, tuple(classes))


def _beside(pictures: Collection[str], tree: Tree) -> dict[str, dict[str, str]]:
    """Word -> image -> `STEM.WORD.png` beside it."""
    stems = {posixpath.splitext(name)[0]: name for name in pictures}
    found: dict[str, dict[str, str]] = {}
    for file in filter(is_picture, tree.names):
        stem, word = posixpath.splitext(posixpath.splitext(file)[0])
        if word[1:] in BESIDE and stem in stems:
            found.setdefault(word[1:], {})[stems[stem]] = file
    return found


def _images(chosen: Sequence[str], beside: Mapping[str, Mapping[str, str]]) -> dict[str, Column]:
    """Columns of the images beside the images."""
    columns = {}
    for word, files in beside.items():
        given = _column(f".{word} image", {name: files.get(name) for name in chosen})
        if given is not None:
            columns[word] = Column(BESIDE[word], given)
    return columns


def _from_metadata(chosen: list[str], rows: dict[str, Row], tree: Tree) -> Listing:
    columns = further(rows, [name for name in chosen if name in rows], tree.names)
    images = [column.values for column in columns.values() if column.kind in ("image", "mask")]
    extra = {file for files in images for file in files}
    chosen = [name for name in chosen if name not in extra]
    lost = [name for name in chosen if name not in rows]
    if lost:
        raise DataError(
            f"{len(lost)} of {len(chosen)} images have no row in the metadata, "
            f"first {lost[0]!r}: add the rows or remove the images"
        )
    labels = _column("label", {name: rows[name].label for name in chosen})
    texts = _column("text", {name: rows[name].text for name in chosen})
    everywhere = [row.label for row in rows.values() if row.label is not None]
    classes = sorted(set(everywhere), key=natural)
    titles = texts is not None and len(classes) == len(everywhere)
    if labels is None or len(classes) == 1 or titles:
        return Listing(tuple(chosen), texts=texts, columns=columns)
    return Listing(tuple(chosen), label_indices(labels, classes), tuple(classes), texts, columns)


def _column(what: str, values: dict[str, str | None]) -> tuple[str, ...] | None:
    """All values, or None if there are none at all."""
    given = {name: value for name, value in values.items() if value is not None}
    if given and len(given) < len(values):
        first = next(name for name in values if name not in given)
        raise DataError(
            f"{len(values) - len(given)} of {len(values)} images have no {what} in the metadata "
            f"or beside them, first {first!r}: give one to all images or to none"
        )
    return tuple(given.values()) or None


def _no_pictures(tree: Tree) -> str:
    if not tree.names:
        return f"{tree.path} is empty: put images in it, in one sub-folder per class if you like"
    packed = [n for n in tree.names if re.search(r"\.(tgz|txz|tbz2|tar\.\w+)$", n.lower())]
    if packed:
        return (
            f"{tree.path} has no images, and {packed[0]} is compressed: pass that archive alone, "
            "or decompress all, as with gunzip, so that they can be read at random"
        )
    kinds = sorted({posixpath.splitext(name)[1].lower() or "no extension" for name in tree.names})
    return (
        f"none of the {len(tree.names)} files in {tree.path} has an image's extension such as "
        f".png or .jpg; there are: {', '.join(kinds[:8])}"
    )
