"""What files that list images say of each: `metadata.csv`, `labels.csv`, COCO's JSON and others.

`metadata.*` must name all images and only images that are there, as in Hugging Face's ImageFolder.
Another file is read if one of its columns names at least half of the images. An image is named by
its path from the file or from the top, or by the end of its path that no other image shares, with
or without its extension. Which columns are its class, caption and split is in `words`; for other
columns see `further`.
"""

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from demist.data.files.tree import Tree, read, read_all
from demist.data.images.aside import is_image
from demist.data.images.finder import Finder, bare
from demist.data.images.further import Row
from demist.data.images.tables import (
    ENDINGS,
    Record,
    Unreadable,
    headers_of,
    is_metadata,
    records,
)
from demist.data.sounds.endings import is_sound
from demist.data.words import FILES, LABELS, PARTS, TEXTS, pick, split_word
from demist.errors import DataError, MissingError, UsageError

_MOST = 16  # files of an ending that are opened to see whether they list images


@dataclass(frozen=True)
class Asked:
    """What was said of columns and folders.

    Attributes:
        label_column: The column of classes; None: by its name.
        caption_column: The column of captions; None: by its name.
        class_level: Which of the folders below each other is the class, from 1.
        what: What the files hold, images or sounds.

    Raises:
        UsageError: There is no such level.
    """

    label_column: str | None = None
    caption_column: str | None = None
    class_level: int | None = None
    what: str = field(default="images", repr=False)

    def __post_init__(self) -> None:
        if self.class_level is not None and self.class_level < 1:
            raise UsageError(f"--class-level {self.class_level}: the uppermost folder is 1")

    def takes(self, name: str) -> bool:
        """Whether a file is called like what is looked for."""
        return is_sound(name) if self.what == "sounds" else is_image(name)


@dataclass(frozen=True)
class Listed:
    """Rows of all files that list images.

    Attributes:
        rows: Image -> what is said of it.
        sources: Files that were read.
        notes: Sentences on what was not, or only partly.
        strict: Whether a file called `metadata` is among them.
    """

    rows: Mapping[str, Row] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    strict: bool = False


def read_lists(tree: Tree, images: Sequence[str], asked: Asked) -> Listed:
    """What all files that list images say.

    Raises:
        DataError: A list of images cannot be understood, or `metadata` names an image twice or one
            that is not there.
        MissingError: `metadata.parquet` needs a package that is not installed.
        UsageError: A column that was asked for is nowhere.
    """
    finder, there = Finder(images), set(tree.names)
    rows: dict[str, Row] = {}
    strict: set[str] = set()
    sources, notes, headers = [], [], dict[str, None]()
    candidates = _candidates(tree, images)
    contents = read_all(tree, candidates) if tree.stamp() is None else {}
    for source in candidates:
        try:
            content = contents[source] if contents else read(tree, source)
            found = records(source, content, lambda w: finder.find(w) is not None)
        except (MissingError, Unreadable) as error:
            if is_metadata(source):
                raise
            notes.append(f"{source} was not read: {error}.")
            continue
        folder = posixpath.dirname(source)
        if is_metadata(source):
            if not found:
                notes.append(f"{source} is empty.")
            made = {}
            for number, record in found or ():
                where = f"{source} row {number}"
                name, row = _sure(record, where, finder, folder, asked)
                if name in rows or name in made:
                    raise DataError(f"{where} names {name!r}, which an earlier row names already")
                made[name] = row
            strict |= made.keys()
        else:
            made, sentences = _likely(source, found or [], finder, asked, len(images))
            notes += sentences
        if made:
            sources.append(source)
            headers |= dict.fromkeys(headers_of(found or ()))
            rows |= {name: _both(rows.get(name), row) for name, row in made.items()}
    _require_there(rows.keys() & strict, there, tree)
    _require_asked(asked, headers, tree, sources)
    if strict and not any(row.label or row.text or row.more or row.split for row in rows.values()):
        raise DataError(
            f"the metadata of {tree.path} has neither a 'label' nor a 'text' column, nor any; its "
            f"columns: {', '.join(map(repr, headers))}"
        )
    return Listed(rows, tuple(sources), tuple(notes), bool(strict))


def _candidates(tree: Tree, images: Sequence[str]) -> list[str]:
    """Files that may list images: those called `metadata`, and a few others of each ending."""
    stems = {bare(name) for name in images}
    counts: Counter[str] = Counter()
    sure, others = [], []
    for name in tree.names:
        ending = posixpath.splitext(name)[1].lower()
        if ending not in ENDINGS:
            continue
        if is_metadata(name) and ending != ".txt":
            sure.append(name)
        elif bare(name) not in stems:
            counts[ending] += 1
            others.append(name)
    return sure + [n for n in others if counts[posixpath.splitext(n)[1].lower()] <= _MOST]


def _sure(record: Record, where: str, finder: Finder, folder: str, asked: Asked) -> tuple[str, Row]:
    """The image that a row of `metadata` names, there or not, and what the row says."""
    header = pick(record, FILES[:-2])
    word = record.get(header) if header else None
    if header is None or not isinstance(word, str) or not word:
        raise DataError(f"{where} has no 'file_name'; it has {_listed(record)}")
    name = finder.find(word, folder)
    return name or posixpath.normpath(posixpath.join(folder, word)), _row(
        record, header, where, folder, asked
    )


def _likely(
    source: str, found: Sequence[tuple[int, Record]], finder: Finder, asked: Asked, count: int
) -> tuple[dict[str, Row], list[str]]:
    """Rows of a file that is not called `metadata`, and sentences on it."""
    folder, split = posixpath.dirname(source), split_word(posixpath.basename(source))
    headers = headers_of(found)
    header = _naming(found, headers, finder, folder)
    if header is None:
        return {}, []
    named = [(i, r, finder.find(r.get(header), folder, split)) for i, r in found]
    hits = {name for _, _, name in named if name}
    if 2 * len(hits) < min(len(found), count):
        return {}, []
    notes = []
    if lost := sum(name is None for _, _, name in named):
        notes.append(f"{lost} of {len(found)} rows of {source} name no image here.")
    asked, sentences = _only_column(headers, header, found, asked, source)
    notes += sentences
    many: dict[str, list[Row]] = {}
    for number, record, name in named:
        if name:
            row = _row(record, header, f"{source} row {number}", folder, asked)
            many.setdefault(name, []).append(replace(row, split=row.split or split))
    if any(len(rows) > 1 for rows in many.values()):
        notes.append(f"{source} has several rows for an image: its first caption is used.")
    return {name: _one(rows) for name, rows in many.items()}, notes


def _naming(
    found: Sequence[tuple[int, Record]], headers: Sequence[str], finder: Finder, folder: str
) -> str | None:
    """The column that names images."""
    known = [header for name in FILES if (header := pick(headers, (name,)))]
    for header in dict.fromkeys([*known, *headers]):
        some = [record.get(header) for _, record in found[:50]]
        if some and sum(finder.find(word, folder) is not None for word in some) * 2 >= len(some):
            return header
    if not known:
        return None
    every = [record.get(known[0]) for _, record in found]
    return known[0] if any(finder.find(word, folder) for word in every) else None


def _only_column(
    headers: Sequence[str], naming: str, found: Sequence[tuple[int, Record]], asked: Asked,
    source: str,
) -> tuple[Asked, list[str]]:  # fmt: skip
    """A single further column of words that repeat holds the classes, whatever it is called."""
    others = [h for h in headers if h != naming and h]
    if len(others) != 1 or pick(others, LABELS + TEXTS + PARTS) or asked.label_column:
        return asked, []
    values = [str(record.get(others[0])) for _, record in found]
    if len(set(values)) * 2 > len(values) or ":" in others[0]:
        return asked, []
    note = f"The classes are the column {others[0]!r} of {source}."
    return replace(asked, label_column=others[0]), [note]


def _one(rows: Sequence[Row]) -> Row:
    """What several rows say of one image."""
    labels = sorted({row.label for row in rows if row.label is not None})
    text = next((row.text for row in rows if row.text is not None), None)
    first = replace(rows[0], text=text)
    if len(labels) < 2:
        return first
    return replace(first, label=None, more={**first.more, "classes": labels})


def _both(old: Row | None, new: Row) -> Row:
    """What two files say of one image; where both do, the first counts."""
    if old is None:
        return new
    return Row(
        new.label if old.label is None else old.label,
        new.text if old.text is None else old.text,
        {**new.more, **old.more},
        old.folder,
        old.split or new.split,
    )


def _row(record: Record, naming: str, where: str, folder: str, asked: Asked) -> Row:
    headers = [header for header in record if header != naming]
    label = pick(headers, LABELS, asked.label_column)
    text = pick(headers, TEXTS, asked.caption_column)
    part = pick(headers, PARTS)
    split = _split(part, record[part]) if part else ""
    if label and label != asked.label_column and isinstance(record[label], list):
        label = None  # any number of classes, as a further column
    ours = {naming, label, text, part if split else None}
    more = {header: value for header, value in record.items() if header not in ours}
    return Row(
        class_of(record.get(label) if label else None, where),
        caption_of(record.get(text) if text else None, where, first=text != "text"),
        more,
        folder,
        split,
    )


def _split(header: str, word: Any) -> str:
    """The split that a value speaks of; CelebA's partition numbers them."""
    if header.strip().lower() == "partition" and str(word) in _NUMBERED:
        return _NUMBERED[str(word)]
    return split_word(word) if isinstance(word, str) else ""


_NUMBERED = {"0": "train", "1": "valid", "2": "test"}


def class_of(label: Any, where: str) -> str | None:
    """A class; None if there is none."""
    if label is None or label == "":
        return None
    if not isinstance(label, str | int):
        raise DataError(f"{where}: the label must be one name or whole number, not {label!r}")
    return str(label)


def caption_of(text: Any, where: str, *, first: bool = False) -> str | None:
    """A caption; None if there is none.

    Args:
        text: What is said.
        where: Begins messages.
        first: Whether of a list of captions the first is taken.
    """
    if first and isinstance(text, list) and text:
        text = text[0]
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise DataError(f"{where}: the text must be one string, not {text!r}")
    return text


def _require_there(named: Iterable[str], there: set[str], tree: Tree) -> None:
    rows = set(named)
    if missing := sorted(rows - there):
        raise DataError(
            f"the metadata has rows for {len(missing)} of {len(rows)} files that are not in "
            f"{tree.path}, first {missing[0]!r}: remove the rows or add the files"
        )


def _require_asked(
    asked: Asked, headers: Mapping[str, None], tree: Tree, sources: Sequence[str]
) -> None:
    for flag, column in (
        ("--label-column", asked.label_column),
        ("--caption-column", asked.caption_column),
    ):
        if column and sources and column not in headers:
            raise UsageError(
                f"{flag} {column}: {', '.join(sources)} in {tree.path} has the columns "
                f"{', '.join(map(repr, headers))}"
            )


def _listed(record: Record) -> str:
    return ", ".join(repr(key) for key in record) or "nothing"
