"""Rows of a file that lists images: CSV, lines of JSON, JSON (COCO's too), parquet."""

import csv
import io
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from demist.data.words import FILES, pick
from demist.errors import DataError, MissingError

Record = dict[str, Any]
Rows = list[tuple[int, Record]]
ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")
"""Of files that may list images."""


class Unreadable(DataError):
    """The file is no text, or no JSON."""


def records(source: str, content: bytes, names_image: Callable[[str], bool]) -> Rows | None:
    """Rows with their numbers, from 1; None if the file does not look like a list of images.

    Args:
        source: Name of the file; `metadata.*` is always a list of images.
        content: Of the file.
        names_image: Whether a word names an image.

    Raises:
        DataError: It looks like one and is damaged.
        MissingError: It is parquet, and the package that reads it is not installed.
    """
    ending = posixpath.splitext(source)[1].lower()
    meta = is_metadata(source)
    if ending == ".parquet":
        return _parquet(source, content)
    text = decoded(content, source)
    if ending == ".jsonl":
        lines = enumerate(text.split("\n"), 1)
        return [(i, parsed_object(s, f"{source} line {i}")) for i, s in lines if s.strip()]
    if ending == ".json":
        return _json(source, text, names_image)
    return _csv(source, text, names_image, sure=meta)


def is_metadata(source: str) -> bool:
    """Whether a file is called `metadata`, as Hugging Face's ImageFolder has it."""
    return posixpath.splitext(posixpath.basename(source))[0].lower() == "metadata"


def decoded(content: bytes, source: str) -> str:
    """Text, in UTF-8 or, as some spreadsheets save it, UTF-16."""
    try:
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        return content.decode("utf-16" if wide and len(content) % 2 == 0 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{source} is not UTF-8 text: {error}; save it as UTF-8") from None


def parsed_object(text: str, where: str) -> Record:
    """A JSON object."""
    record = _parsed(text, where)
    if not isinstance(record, dict):
        raise DataError(f"{where} is not a JSON object like {{...}}")
    return record


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{where} is not valid JSON: {error}") from None


def _csv(source: str, text: str, names_image: Callable[[str], bool], *, sure: bool) -> Rows | None:
    first = text.lstrip("\n\r").partition("\n")[0]
    delimiter = max(",;\t|", key=first.count)
    if not first.count(delimiter):
        delimiter = "," if sure or " " not in first.strip() else " "
    spaced = delimiter != " " and f"{delimiter} " in first
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=spaced
    )
    try:
        return _table(source, reader, names_image, sure=sure)
    except csv.Error as error:
        if not sure:
            return None
        raise DataError(f"{source} is not a valid CSV file: {error}") from None


def _table(
    source: str,
    reader: Iterator[list[str]],
    names_image: Callable[[str], bool],
    *,
    sure: bool,
) -> Rows | None:
    rows = [row for row in reader if any(word.strip() for word in row)]
    if not rows:
        return []
    headers = [word.strip() for word in rows[0]]
    if len(headers) == 1 and not sure:
        return None  # names alone; see `lists`
    if not sure and any(map(names_image, headers)):
        return _headless(rows, names_image)
    elif not sure and pick(headers, FILES) is None:
        columns = list(zip(*(row for row in rows[1:21] if len(row) == len(headers)), strict=False))
        if not any(sum(map(names_image, column)) * 2 > len(column) for column in columns):
            return None
    if twice := [name for name in headers if headers.count(name) > 1 and name]:
        raise DataError(f"{source} has two columns called {twice[0]!r}: rename one")
    found = []
    for number, row in enumerate(rows[1:], 1):
        if len(row) < len(headers) or any(row[len(headers) :]):
            if not sure and source.lower().endswith(".txt"):
                return None  # words that happen to name an image
            raise DataError(
                f"{source} row {number} has {len(row)} values for {len(headers)} columns: put "
                'values that hold the separator in quotes, as "a cat, sitting"'
            )
        found.append((number, dict(zip(headers, row, strict=False))))
    return found


def _headless(rows: list[list[str]], names_image: Callable[[str], bool]) -> Rows | None:
    """Rows without a header: an image and its class or caption, and perhaps more."""
    at = 0 if names_image(rows[0][0]) else 1
    if {len(row) for row in rows} != {len(rows[0])} or (at == 1 and len(rows[0]) != 2):
        return None
    values = [row[1 - at] for row in rows]
    words = sum(len(word.split()) for word in values)
    repeated = 2 * len(set(values)) <= len(values)
    if len(rows[0]) > 2 and (not repeated or values[0].replace(".", "").isdigit()):
        return None  # numbers of boxes, say
    if words <= 2 * len(values) and not repeated:
        return None  # numbers of the images themselves
    kind = "text" if words > 2 * len(values) else "label"
    return [(i, {"file_name": r[at], kind: r[1 - at]}) for i, r in enumerate(rows, 1)]


def _json(source: str, text: str, names_image: Callable[[str], bool]) -> Rows | None:
    content = _parsed(text, source)
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return list(enumerate(_coco(content, source), 1))
    if isinstance(content, dict):
        values = list(content.values())
        if values and all(isinstance(value, dict) for value in values):
            content = [{"file_name": name, **value} for name, value in content.items()]
        elif any(map(names_image, list(content)[:20])):
            content = _pairs(content)
        else:
            lists = [v for v in values if isinstance(v, list) and v and isinstance(v[0], dict)]
            content = lists[0] if lists else None
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        return None
    return list(enumerate(content, 1))


def _pairs(content: Mapping[str, Any]) -> list[Record]:
    """Rows of an object that gives each image one value: a class, or a caption."""
    words = [len(str(value).split()) for value in content.values()]
    kind = "text" if sum(words) > 2 * len(words) else "label"
    return [{"file_name": name, kind: value} for name, value in content.items()]


def _coco(content: Mapping[str, Any], source: str) -> list[Record]:
    """Rows of COCO's JSON: captions, and the categories that are seen."""
    try:
        names = {each["id"]: str(each["name"]) for each in content.get("categories") or ()}
        rows: dict[Any, Record] = {
            each["id"]: {"file_name": each["file_name"]} for each in content["images"]
        }
        for each in content["annotations"]:
            row = rows.get(each.get("image_id"))
            if row is None:
                continue
            if each.get("caption"):
                row.setdefault("captions", []).append(str(each["caption"]))
            if each.get("category_id") in names:
                row.setdefault("categories", set()).add(names[each["category_id"]])
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"{source} is not what COCO's annotations are: {error!r}") from None
    kinds = [row.get("categories", set()) for row in rows.values()]
    for row, kind in zip(rows.values(), kinds, strict=True):
        if any(kinds):
            row["categories"] = sorted(kind)
            if all(len(each) == 1 for each in kinds):
                row["label"] = row.pop("categories")[0]
    return list(rows.values())


def _parquet(source: str, content: bytes) -> Rows | None:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingError(
            f"reading {source} needs the package pyarrow: pip install 'demist[datasets]'"
        ) from None
    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content))
        kept = [f.name for f in file.schema_arrow if not re.search("binary|struct", str(f.type))]
        return list(enumerate(file.read(columns=kept).to_pylist(), 1))
    except (ValueError, OSError) as error:  # Arrow's own errors are of these
        raise Unreadable(f"{source} is a damaged parquet file: {error}") from None


def headers_of(rows: Sequence[tuple[int, Record]]) -> list[str]:
    """All columns, in the order in which they are met."""
    return list(dict.fromkeys(header for _, record in rows for header in record))
