"""Parts <-> JSON: data in both directions, never code.

A part is written as its kind and its options, `{"kind": "VP", "beta_min": 0.1, ...}`. The kinds
that can be read are those of the families: a file names a row of a table, never a module.
"""

import inspect
import reprlib
from collections.abc import Mapping
from typing import Any

from demist.errors import DataError
from demist.parts.typed import require_types


def kind_of(cls: type) -> str:
    """What a class is called in JSON."""
    return str(getattr(cls, "saved_as", cls.__name__))


def to_json(value: Any, kinds: Mapping[str, type]) -> Any:
    """JSON of a part, or of plain values, lists and mappings of such.

    Args:
        value: What to write.
        kinds: Kind -> class of the parts that can be written (`Family.kinds`).

    Raises:
        TypeError: It is something else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [to_json(item, kinds) for item in value]
    if isinstance(value, Mapping):
        return {key: to_json(item, kinds) for key, item in value.items()}
    if callable(getattr(value, "tolist", None)):  # a tensor
        return value.tolist()
    kind = kind_of(type(value))
    if kind not in kinds:
        raise TypeError(
            f"a {kind} cannot be saved; kinds that can: {', '.join(kinds)}, and classes of yours "
            f"that are registered, as by demist.core.SCHEDULES.register({kind})"
        )
    names = inspect.signature(kinds[kind]).parameters
    return {"kind": kind} | {key: to_json(getattr(value, key), kinds) for key in names}


def from_json(value: Any, where: str, kinds: Mapping[str, type]) -> Any:
    """What `to_json` wrote; lists become tuples, and what is not JSON is left as it is.

    Args:
        value: JSON.
        where: The file, for messages.
        kinds: Kind -> class of the parts that can be read.

    Raises:
        DataError: The kind is unknown (perhaps of a newer version) or its options make no sense.
    """
    if isinstance(value, list):
        return tuple(from_json(item, where, kinds) for item in value)
    if not isinstance(value, dict):
        return value
    options = {key: from_json(item, where, kinds) for key, item in value.items()}
    if "kind" not in options:
        return options
    kind = options.pop("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise DataError(
            f"{where}: unknown kind {reprlib.repr(kind)}; known: {', '.join(kinds)}. Update demist?"
            f" Or, if it is a class of yours, register it first: "
            f"demist.core.SCHEDULES.register(...)"
        )
    try:
        require_types(kinds[kind], options)
        return kinds[kind](**options)
    except Exception as error:  # what a file says may make a constructor raise anything
        shown = reprlib.repr(options)
        raise DataError(f"{where}: {kind} cannot be made from {shown}: {error}") from None
