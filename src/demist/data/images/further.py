"""Further columns of metadata: what kind they are, and their values.

The header may say the kind of a column, as in `digit:class`, `tags:labels`, `edges:image`,
`hole:mask`, `angle:numbers`, `note:text`. Else, of a column that has a value in every row:

1. numbers, or lists of equally many numbers, are numbers, also if they are whole;
2. names of image files, beside the metadata, are images; masks if the column's name begins with
   "mask". If half of the files are there, all must be;
3. lists of words, or words with "|" between them, are labels, any number of them for each sample;
4. words of which there are at most half as many as rows are classes, and others texts, as are all
   of a column `instruction`.

In labels, an empty value is none of them. Columns with other values, or with gaps, are left out.
"""

import math
import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demist.data.column import Column, classes
from demist.errors import DataError

KINDS = ("class", "labels", "numbers", "text", "image", "mask")
SENTENCES = ("instruction", "edit", "edit_prompt")
"""Columns of texts that may repeat."""


@dataclass(frozen=True)
class Row:
    """What is known of one image; None where nothing is said.

    Attributes:
        label: Its class.
        text: Its caption.
        more: Values of further columns, by their headers.
        folder: From which names of files among them count.
        split: "train", "valid" or "test"; "": nothing is said.
    """

    label: str | None
    text: str | None
    more: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    split: str = ""


def further(
    rows: Mapping[str, Row], chosen: Sequence[str], there: Collection[str]
) -> dict[str, Column]:
    """The further columns of the images `chosen`; those of images hold names of files yet.

    Args:
        rows: Of all images, of other splits too.
        chosen: Names of images, in their order.
        there: All files.

    Raises:
        DataError: A value is not of the kind that its header says.
    """
    headers = dict.fromkeys(header for row in rows.values() for header in row.more)
    out: dict[str, Column] = {}
    for header in headers:
        name, _, kind = header.rpartition(":")
        if kind not in KINDS or not name:
            name, kind = header, ""
        name = re.sub(r"\W+", "_", name).strip("_").lower()
        values = {p: row.more.get(header) for p, row in rows.items()}
        if name in ("", "label", "text", "x") or name in out:
            continue
        try:
            made = _column(name, kind, values, rows, there)
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"column {header!r} of the metadata: {error}") from None
        if made is not None:
            place = {p: i for i, p in enumerate(values)}
            out[name] = made.take(np.array([place[p] for p in chosen], np.int64))
    return out


def gaps(rows: Mapping[str, Row], columns: Collection[str]) -> dict[str, str]:
    """What the values of other columns than `columns` lack, in words, by their names."""
    out = {}
    for header in dict.fromkeys(header for row in rows.values() for header in row.more):
        empty = [p for p, row in rows.items() if row.more.get(header) in (None, "")]
        if empty and header not in columns:
            out[header] = f"{len(empty)} of {len(rows)} rows have no value, first {empty[0]!r}"
    return out


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that puts "2" before "10", and digits before letters."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name)
    numbers_first = [
        (0, len(digits.lstrip("0")), digits.lstrip("0")) if digits else (1, 0, text)
        for digits, text in parts
    ]
    return numbers_first, name


def _column(
    name: str,
    kind: str,
    values: Mapping[str, Any],
    rows: Mapping[str, Row],
    there: Collection[str],
) -> Column | None:
    """The column of all rows; None for one that is left out."""
    words = list(values.values())
    empty = [p for p, word in values.items() if word is None or word == ""]
    if not kind:
        filled = [word for word in words if word is not None and word != ""]
        files = [_file(rows[p], word) for p, word in values.items()]
        kind = _guess(name, filled, files, there)
        if not kind or (empty and kind != "labels"):
            return None
    elif empty and kind != "labels":
        raise ValueError(f"{len(empty)} rows have no value, first that of {empty[0]!r}")
    if kind == "numbers":
        numbers = np.array([_numbers(word) for word in words], np.float64)
        d = numbers.shape[1]
        return Column(kind, numbers, tuple(f"{name}_{i}" for i in range(d)) if d > 1 else (name,))
    if kind == "labels":
        sets = [_labels(word) for word in words]
        names = sorted({label for one in sets for label in one}, key=natural)
        table = np.array([[label in one for label in names] for one in sets], np.uint8)
        return Column(kind, table, tuple(names)) if names else None
    if kind in ("image", "mask"):
        files = [_file(rows[p], word) for p, word in values.items()]
        lost = [file for file in files if file not in there]
        if lost:
            raise ValueError(f"{len(lost)} files are not there, first {lost[0]!r}")
        return Column(kind, tuple(files))
    texts = tuple(map(str, words))
    return (
        classes(texts, sorted(set(texts), key=natural)) if kind == "class" else Column(kind, texts)
    )


def _guess(name: str, words: Sequence[Any], files: Sequence[str], there: Collection[str]) -> str:
    try:
        lengths = {len(_numbers(word)) for word in words}
    except (ValueError, TypeError):
        lengths = set()
    if len(lengths) == 1:
        return "numbers"
    found = sum(file in there for file in files)
    if words and 2 * found >= len(files):
        return "mask" if name.startswith("mask") else "image"
    if any(isinstance(word, list) and all(isinstance(w, str) for w in word) for word in words):
        return "labels" if all(isinstance(word, list | str) for word in words) else ""
    if not words or not all(isinstance(word, str) for word in words):
        return ""
    if any("|" in word for word in words):
        return "labels"
    repeats = 1 < len(set(words)) <= len(words) / 2
    return "class" if repeats and name not in SENTENCES else "text"


def _numbers(word: Any) -> list[float]:
    """ValueError or TypeError unless it is a number, or a list of some."""
    if isinstance(word, bool):
        raise ValueError(f"{word!r} is no number")
    found = [float(one) for one in (word if isinstance(word, list) else [word])]
    if not found or not all(map(math.isfinite, found)):
        raise ValueError(f"{word!r} is no finite number")
    return found


def _labels(word: Any) -> set[str]:
    parts = word if isinstance(word, list) else str(word or "").split("|")
    return {str(part).strip() for part in parts} - {""}


def _file(row: Row, word: Any) -> str:
    return posixpath.normpath(posixpath.join(row.folder, word)) if isinstance(word, str) else ""
