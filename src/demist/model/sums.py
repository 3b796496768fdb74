"""What a saved model says of its own bytes, so that no change of them goes unnoticed.

`sha256` in `model_index.json` names the SHA-256 of every other file, in hexadecimal, and under
`model_index.json` that of the index itself without this line. A run's `model.json` holds its own.
Models of other makers have none; those that older versions saved name their weights only.
"""

import hashlib
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demist.errors import DataError
from demist.io.files import json_sha256, parse_json, read_described
from demist.io.untrusted import inside

SUMS = "sha256"
INDEX = "model_index.json"


def sealed_index(index: Mapping[str, Any], sums: Mapping[str, str]) -> dict[str, Any]:
    """The content of a `model_index.json` with the sums of the other files, and its own."""
    whole = {**index, SUMS: dict(sums)}
    return {**whole, SUMS: {**sums, INDEX: json_sha256(whole)}}


def require_sealed(index: Mapping[str, Any], path: Path) -> None:
    """Check the index of a saved model against its own sum.

    Raises:
        DataError: It is damaged.
    """
    sums = index.get(SUMS, {})
    if not isinstance(sums, dict) or not all(isinstance(one, str) for one in sums.values()):
        raise damaged(path)
    rest = {name: one for name, one in sums.items() if name != INDEX}
    # Older versions named no description, so a name of one without a sum of the index is damage.
    own = sums.get(INDEX, None if any(name.endswith(".json") for name in rest) else "")
    if own not in ("", json_sha256({**index, SUMS: rest})):
        raise damaged(path)


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a run's `model.json`, with its sum."""
    return {**content, SUMS: json_sha256(content)}


def read_sealed(path: Path) -> dict[str, Any]:
    """What `sealed` gave, from a file; an older one has no sum.

    Raises:
        MissingError: There is no such file.
        DataError: It is damaged.
        RefusedError: It is a pickle.
    """
    content = parse_json(read_described(path), path)
    stated = content.pop(SUMS, None)
    if stated not in (None, json_sha256(content)) or not isinstance(content.get(INDEX), dict):
        raise damaged(path)
    return content


def read_listed(folder: Path, name: str, index: Mapping[str, Any]) -> dict[str, Any]:
    """A description in the folder of a model, after comparing it with its sum in `index`.

    Raises:
        MissingError: There is no such file.
        DataError: It is damaged.
        RefusedError: It is a pickle, or a link out of the folder.
    """
    path = inside(folder, name)
    data = read_described(path)
    content = parse_json(data, path)
    require_sum(hashlib.sha256(data).hexdigest(), name, index, path)
    return content


def require_sum(found: str, name: str, index: Mapping[str, Any], path: Path) -> None:
    """Raise DataError if `index` names another sum for a file."""
    sums = index.get(SUMS, {})
    known = sums if isinstance(sums, dict) else {}
    if known.get(name, None if INDEX in known else found) != found:
        raise damaged(path)


def short(value: Any) -> str:
    """A value of a description in a message, where it may be endless."""
    return value[:40] if isinstance(value, str) else reprlib.repr(value)


def damaged(path: Path) -> DataError:
    """The error about a file that is not as it was written."""
    return DataError(
        f"{path} is damaged: its SHA-256 is not the one recorded. Copy it anew; if it was changed "
        f"on purpose, remove `{SUMS}` from {path.name if path.name == 'model.json' else INDEX}"
    )
