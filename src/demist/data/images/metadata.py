"""Labels and texts from `metadata.csv` and `metadata.jsonl`, as in Hugging Face's ImageFolder.

Each row names an image in `file_name`, relative to the folder of the metadata file, and gives its
class in `label`, its caption in `text`; for other columns see `further`. Or from files beside each
image, as in WebDataset: see `layout`.
"""

import csv
import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from demist.data.files.tree import Tree, read, read_all
from demist.data.images.further import Row
from demist.errors import DataError


def read_metadata(tree: Tree) -> dict[str, Row]:
    """Collect the rows of every metadata file of `tree` by image; empty if there is none.

    Raises:
        DataError: A file or row cannot be understood, or names an image twice or one that is
            not there.
    """
    rows: dict[str, Row] = {}
    for source in tree.names:
        if posixpath.basename(source).lower() not in ("metadata.csv", "metadata.jsonl"):
            continue
        for number, record in _records(source, _text(tree, source)):
            where = f"{source} row {number}"
            file_name = record.get("file_name")
            if not isinstance(file_name, str) or not file_name:
                raise DataError(f"{where} has no 'file_name'; it has {_listed(record)}")
            name = posixpath.normpath(posixpath.join(posixpath.dirname(source), file_name))
            if name in rows:
                raise DataError(f"{where} names {name!r}, which an earlier row names already")
            more = {k: v for k, v in record.items() if isinstance(k, str) and k not in _OURS}
            folder = posixpath.dirname(source)
            rows[name] = Row(_label(record, where), _caption(record, where), more, folder)
    missing = sorted(rows.keys() - set(tree.names))
    if missing:
        raise DataError(
            f"the metadata has rows for {len(missing)} of {len(rows)} files that are not in "
            f"{tree.path}, first {missing[0]!r}: remove the rows or add the files"
        )
    if rows and not any(row.label or row.text or row.more for row in rows.values()):
        raise DataError(
            f"the metadata of {tree.path} has neither a 'label' nor a 'text' column, nor any"
        )
    return rows


def read_companions(tree: Tree, pictures: Sequence[str]) -> dict[str, Row]:
    """What `a.json`, `a.cls` and `a.txt` say of each image `a.jpg`.

    Raises:
        DataError: One cannot be understood.
    """
    there = set(tree.names)
    stems = {name: posixpath.splitext(name)[0] for name in pictures}
    wanted = {f"{stem}{end}" for stem in stems.values() for end in _COMPANIONS}
    contents = read_all(tree, sorted(wanted & there))
    return {name: _companion_row(stem, contents) for name, stem in stems.items()}


_OURS = ("file_name", "label", "text", "caption")
_COMPANIONS = (".json", ".cls", ".txt")


def _companion_row(stem: str, contents: Mapping[str, bytes]) -> Row:
    texts = {end: _decoded(contents.get(stem + end, b""), stem + end) for end in _COMPANIONS}
    said: dict[str, Any] = {}
    if texts[".json"].strip():
        said = _object(texts[".json"], f"{stem}.json")
    label = _label(said, f"{stem}.json")
    text = _caption({"text": said.get("text") or said.get("caption")}, f"{stem}.json")
    more = {k: v for k, v in said.items() if k not in _OURS}
    return Row(
        label or texts[".cls"].strip() or None,
        text or texts[".txt"].strip() or None,
        more,
        posixpath.dirname(stem),
    )


def _text(tree: Tree, source: str) -> str:
    return _decoded(read(tree, source), source)


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 text: {error}") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(record, dict):
        raise DataError(f"{where} is not a JSON object like {{...}}")
    return record


def _records(source: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their numbers, from 1, as dictionaries."""
    if source.lower().endswith(".csv"):
        try:
            yield from enumerate(csv.DictReader(text.splitlines(keepends=True), strict=True), 1)
        except csv.Error as error:
            raise DataError(f"{source} is not a valid CSV file: {error}") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        yield number, _object(line, f"{source} line {number}")


def _label(record: dict[str, Any], where: str) -> str | None:
    label = record.get("label")
    if label is None or label == "":
        return None
    if not isinstance(label, str | int):
        raise DataError(f"{where}: the label must be one name or whole number, not {label!r}")
    return str(label)


def _caption(record: dict[str, Any], where: str) -> str | None:
    text = record.get("text")
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise DataError(f"{where}: the text must be one string, not {text!r}")
    return text


def _listed(record: dict[str, Any]) -> str:
    return ", ".join(repr(key) for key in record) or "nothing"
