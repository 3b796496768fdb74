"""Which files of a tree are the images of a split, and what they are called.

1. Images are the files with an image's extension, but for those that belong to another image (see
   `aside`), and but for links to images of the same tree.
2. Their splits are said by a column (see `metadata`), by lists such as `train.txt` and `test.txt`
   that name them, or by their folders (see `divide`).
3. With a metadata file, labels, texts and further columns come from there; images that these name
   are no samples. Other files that list images say what they say.
   Labels that never repeat, beside texts, are titles and not classes; nor are labels of which
   there is nearly one for each image.
4. Otherwise files beside an image that are called like it say what it is, as in WebDataset (see
   `companions`).
5. Without a class there, the next folder is the class, however deep the image lies below it, or
   that of `class_level`. Folders that all images share are passed over, and so are folders that
   only divide a large number of files, such as `part_1` or `01000`.
6. Classes are those of all splits, in natural order: "2" before "10". One class is no class.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from demist.data.column import Column
from demist.data.dataset import label_indices
from demist.data.files.spelling import printable
from demist.data.files.tree import Tree
from demist.data.images.aside import Aside, alone, is_image, set_aside
from demist.data.images.classes import Listing, from_folders, hardly_repeat, left_out, some
from demist.data.images.companions import Companions, read_companions
from demist.data.images.divide import Division, divide
from demist.data.images.further import further, gaps, natural
from demist.data.images.lists import divided_by_lists
from demist.data.images.metadata import Asked, Listed, read_lists
from demist.data.report import Report, remedy
from demist.data.words import canonical_split, require_split, split_word
from demist.errors import DataError


@dataclass(frozen=True)
class _Understood:
    """All images of a tree, and what says something of them."""

    aside: Aside
    division: Division
    listed: Listed
    beside: Companions
    notes: tuple[str, ...]


def arrange(tree: Tree, split: str, asked: Asked = Asked()) -> Listing:  # noqa: B008 (frozen)
    """List the images of `split` with labels and texts, by the rules above.

    Args:
        tree: The files.
        split: "train", "valid" or "test".
        asked: Which columns and folders are meant.

    Raises:
        DataError: No images, no such split, or labels that do not match the images.
        UsageError: A column or folder that was asked for is not there.
    """
    all_of_it = _understand(tree, asked)
    splits = all_of_it.division.splits
    counts = Counter(splits.values())
    require_split(split, counts, str(tree.path))
    chosen = [name for name in splits if splits[name] == split]
    listing = _described(chosen, all_of_it, tree, asked)
    seen = replace(
        listing.seen,
        split=split if len(counts) > 1 else "",
        others={other: n for other, n in counts.items() if other != split},
        notes=(*all_of_it.notes, *listing.seen.notes),
        unread=_unread(tree, all_of_it, asked),
    )
    columns = {**listing.columns, **_images(listing.names, all_of_it.aside)}
    return replace(listing, columns=columns, seen=seen)


def splits_of(tree: Tree, asked: Asked = Asked()) -> tuple[str, ...]:  # noqa: B008 (frozen)
    """The splits that a tree of images or sounds has; see `arrange`."""
    division = _divided(tree, asked)[2]
    return tuple(sorted(set(division.splits.values())))


def _divided(tree: Tree, asked: Asked) -> tuple[Aside, Listed, Division, tuple[str, ...]]:
    """The images, what lists say of them, their splits, and the files that list those."""
    files = [name for name in tree.names if asked.takes(name)]
    if not files:
        raise DataError(_no_sounds(tree) if asked.what == "sounds" else _no_images(tree))
    aside = set_aside(files) if asked.what == "images" else alone(files)
    listed = read_lists(tree, aside.samples, asked)
    places = {name: tree.place(name) for name in aside.samples}
    return aside, listed, *_divide(places, tree, listed, asked.what)


def _understand(tree: Tree, asked: Asked) -> _Understood:
    aside, listed, division, sources = _divided(tree, asked)
    division, doubled = _once(division, getattr(tree, "links", {}))
    keys = {name: aside.keys[name] for name in division.splits}
    beside = read_companions(tree, keys, asked)
    named = bool(sources) or any(row.split for row in listed.rows.values())
    stray = Counter(_top(name) for name in getattr(tree, "beside", ()) if asked.takes(name))
    notes = [
        *left_out(stray, "beside the archives", asked.what),
        *aside.notes,
        *left_out(aside.left, "that belong to other images"),
        *left_out(
            division.left,
            "that no list gives a split" if named else "beside the splits",
            asked.what,
        ),
        *division.notes,
        *listed.notes,
        *beside.notes,
    ]
    if doubled:
        one = "an image" if asked.what == "images" else "a sound"
        links = f"link to {one}" if doubled == 1 else f"links to {asked.what}"
        were = "was" if doubled == 1 else "were"
        notes.append(f"{doubled} {links} of the same folder {were} not followed.")
    listed = replace(listed, sources=(*listed.sources, *sources))
    return _Understood(aside, division, listed, beside, tuple(notes))


def _divide(
    places: Mapping[str, str], tree: Tree, listed: Listed, what: str
) -> tuple[Division, tuple[str, ...]]:
    """The splits, and the files that list them."""
    by_folder = divide(places)
    rows = {name: listed.rows[name] for name in places if name in listed.rows}
    named = {name: row.split for name, row in rows.items() if row.split}
    words = set(named.values())
    if words and len(named) == len(rows) and words != {"valid"} and words != {"test"}:
        lost = Counter(_top(places[name]) for name in places if name not in named)
        folders = by_folder.folders if not by_folder.left else _folders_of(places)
        parts = {n: tuple(f for f in folders.get(n, ()) if not split_word(f)) for n in named}
        if len(words) > 1 or set(by_folder.splits.values()) == {"train"}:
            return Division(named, parts, dict(lost), by_folder.notes), ()
    if len(set(by_folder.splits.values())) > 1:
        return _with_rows(by_folder, listed, what), ()
    lists = divided_by_lists(tree, list(places))
    if lists is None:
        return by_folder, ()
    splits, sources = lists
    lost = Counter(_top(places[name]) for name in places if name not in splits)
    return Division(splits, by_folder.folders, dict(lost), by_folder.notes), sources


def _with_rows(division: Division, listed: Listed, what: str) -> Division:
    """Without splits of which no list says anything, while one does of another."""
    if not listed.rows or listed.strict:
        return division
    known = {split for name, split in division.splits.items() if name in listed.rows}
    silent = set(division.splits.values()) - known
    if not silent or "train" in silent:
        return division
    kept = {name: split for name, split in division.splits.items() if split in known}
    notes = tuple(
        f"The {n} {what} of the split {split} are left out: {', '.join(listed.sources)} says "
        "nothing of them."
        for split, n in Counter(division.splits.values()).items()
        if split in silent
    )
    return replace(division, splits=kept, notes=(*division.notes, *notes))


def _folders_of(places: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(place.split("/")[:-1]) for name, place in places.items()}


def _top(place: str) -> str:
    top, slash, _ = place.partition("/")
    return top + slash


def _once(division: Division, links: Mapping[str, str]) -> tuple[Division, int]:
    """Without links to images that count themselves, and how many those are."""
    twice = {name for name in division.splits if links.get(name) in division.splits}
    if not twice:
        return division, 0
    kept = {name: split for name, split in division.splits.items() if name not in twice}
    places = {name: "/".join((*division.folders[name], "x")) for name in kept}
    shared = posixpath.commonpath([posixpath.dirname(place) for place in places.values()])
    depth = len(shared.split("/")) if shared else 0
    folders = {name: division.folders[name][depth:] for name in kept}
    return replace(division, splits=kept, folders=folders), len(twice)


def _described(chosen: list[str], found: _Understood, tree: Tree, asked: Asked) -> Listing:
    """Labels, texts and further columns of the images `chosen`."""
    listed, beside = found.listed, found.beside
    rows = listed.rows
    if rows and (listed.strict or any(name in rows for name in chosen)):
        return _from_rows(chosen, found, tree, asked)
    if any(row.label is not None for row in beside.rows.values()):
        return _from_rows(chosen, replace(found, listed=Listed(beside.rows)), tree, asked)
    listing = from_folders(chosen, found.division.folders, asked)
    texts = _column("text", {name: beside.rows[name].text for name in chosen}, asked.what)
    columns = further(beside.rows, chosen, tree.names)
    seen = replace(listing.seen, captions_from=_files(beside.captions_from) if texts else "")
    return replace(listing, texts=texts, columns=columns, seen=seen)


def _files(ending: str) -> str:
    return f"{ending} files" if ending else ""


def _from_rows(chosen: list[str], found: _Understood, tree: Tree, asked: Asked) -> Listing:
    """From lists of images; what they do not say, from files beside the images."""
    listed, beside = found.listed, found.beside
    columns = further(listed.rows, [name for name in chosen if name in listed.rows], tree.names)
    images = [column.values for column in columns.values() if column.kind in ("image", "mask")]
    extra = {file for files in images for file in files}
    chosen = [name for name in chosen if name not in extra]
    if lost := [name for name in chosen if name not in listed.rows]:
        raise DataError(
            f"{len(lost)} of {len(chosen)} {asked.what} have no row in the metadata, "
            f"first {lost[0]!r}: add the rows or remove the {asked.what}"
        )
    rows = {name: listed.rows[name] for name in chosen}
    texts = _column("text", {name: row.text for name, row in rows.items()}, asked.what)
    origin = ", ".join(listed.sources) or _files(beside.captions_from)
    if texts is None and listed.sources and all(beside.rows[name].text for name in chosen):
        texts = tuple(str(beside.rows[name].text) for name in chosen)
        origin = _files(beside.captions_from)
    labels = _column("label", {name: row.label for name, row in rows.items()}, asked.what)
    everywhere = [r.label for n, r in listed.rows.items() if r.label is not None and n not in extra]
    names = sorted(set(everywhere), key=natural)
    seen = Report(captions_from=origin if texts else "", gaps=gaps(listed.rows, columns))
    plain = Listing(tuple(chosen), texts=texts, columns=columns, seen=seen)
    if labels is None:
        return _folders_beside_rows(plain, found, asked)
    if len(names) == 1:
        return plain
    if note := hardly_repeat(len(names), len(everywhere), texts is not None, asked):
        return replace(plain, seen=replace(seen, notes=(note,)))
    indices, classes = label_indices(labels, names), tuple(map(printable, names))
    return replace(plain, labels=indices, classes=classes)


def _folders_beside_rows(plain: Listing, found: _Understood, asked: Asked) -> Listing:
    """Classes from folders where a list gives none; those of `metadata.*` are the whole truth."""
    try:
        listing = from_folders(list(plain.names), found.division.folders, asked)
    except DataError:
        return plain
    if listing.labels is None or "categories" in plain.columns or "classes" in plain.columns:
        return plain
    if not found.listed.strict:
        notes = (*plain.seen.notes, *listing.seen.notes)
        return replace(
            plain, labels=listing.labels, classes=listing.classes,
            seen=replace(plain.seen, notes=notes),
        )  # fmt: skip
    sources = ", ".join(found.listed.sources)
    note = (
        f"The folders {some(listing.classes)} are no classes, as {sources} gives none: add a "
        "column label for that."
    )
    return replace(plain, seen=replace(plain.seen, notes=(*plain.seen.notes, note)))


def _images(chosen: Sequence[str], aside: Aside) -> dict[str, Column]:
    """Columns of the images beside the images."""
    columns = {}
    for word, (kind, files) in aside.columns.items():
        given = _column(f".{word} image", {name: files.get(name) for name in chosen})
        if given is not None:
            columns[word] = Column(kind, given)
    return columns


def _column(
    what: str, values: Mapping[str, str | None], of: str = "images"
) -> tuple[str, ...] | None:
    """All values, or None if there are none at all."""
    given = {name: value for name, value in values.items() if value is not None}
    if given and len(given) < len(values):
        first = next(name for name in values if name not in given)
        raise DataError(
            f"{len(values) - len(given)} of {len(values)} {of} have no {what} in the metadata "
            f"or beside them, first {first!r}: give one to all {of} or to none"
        )
    return tuple(given.values()) or None


def _unread(tree: Tree, found: _Understood, asked: Asked) -> dict[str, int]:
    """Ending -> how many files with it are no images (sounds) and were not used."""
    used = {*found.listed.sources, *found.beside.sources}
    names = (*tree.names, *getattr(tree, "beside", ()))
    left = [name for name in names if not asked.takes(name) and name not in used]
    return dict(Counter(posixpath.splitext(name)[1].lower() or "no ending" for name in left))


def _no_sounds(tree: Tree) -> str:
    if not tree.names:
        return f"{tree.path} is empty: put sounds in it, in one sub-folder per class if you like"
    kinds = sorted({posixpath.splitext(name)[1].lower() or "no extension" for name in tree.names})
    return (
        f"none of the {len(tree.names)} files in {tree.path} is called like a sound, such as .wav "
        f"or .flac; there are: {', '.join(kinds[:8])}"
    )


def _no_images(tree: Tree) -> str:
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
        f".png or .jpg; there are: {', '.join(kind + remedy(kind) for kind in kinds[:8])}"
    )


__all__ = [
    "Listing", "arrange", "canonical_split", "is_image", "require_split", "split_word",
    "splits_of",
]  # fmt: skip
