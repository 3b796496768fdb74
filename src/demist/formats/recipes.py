"""What an image says of how it was made, by the texts in it: ours, A1111's or ComfyUI's."""

import json
from collections.abc import Mapping
from typing import Any

from demist.errors import DataError
from demist.formats.contents import Rows, short

WHOLE = 4000
"""Characters of a recipe that are shown."""
TOLD = ("Sampler", "TextEncode", "Loader", "LatentImage", "Scheduler", "Guider", "Noise")
"""Words in the kinds of ComfyUI's nodes that say how an image was made."""


def recipe_rows(texts: Mapping[str, str]) -> Rows:
    """The recipe of an image.

    Args:
        texts: By name, as the image's file has them.

    Raises:
        DataError: It has none.
    """
    rows: Rows = []
    ours = _object(texts.get("demist", ""))
    rows += [(str(key), _value(value)) for key, value in ours.items()]
    if "parameters" in texts:
        rows += [("A1111", short(line, WHOLE)) for line in texts["parameters"].splitlines() if line]
    rows += [row for node in _object(texts.get("prompt", "")).values() for row in _node(node)]
    if not rows:
        raise DataError(
            "the image does not say how it was made: no recipe of demist, A1111 or ComfyUI is in it"
        )
    return rows


def _node(node: Any) -> Rows:
    """A node of ComfyUI: its kind, and its inputs that are plain values."""
    if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
        return []
    kind = str(node.get("class_type"))
    plain = {k: v for k, v in node["inputs"].items() if isinstance(v, str | int | float)}
    if not plain or not any(word in kind for word in TOLD):
        return []
    return [(short(kind), short(", ".join(f"{k}={v}" for k, v in plain.items()), WHOLE))]


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _value(value: Any) -> str:
    return short(value if isinstance(value, str) else json.dumps(value), WHOLE)
