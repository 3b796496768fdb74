"""Whether a value that a file holds is of the type that a part declares."""

import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from demist.parts.notation import TYPES

MOST = 2**63
"""No whole number is as large, as no machine could count with it."""


def require_types(make: type, options: Mapping[str, Any]) -> None:
    """Check options against what the constructor of a class declares.

    Args:
        make: The class.
        options: Name -> value, as a file has them; what the constructor does not know it refuses
            itself.

    Raises:
        TypeError: A value is of another type, or not a number.
    """
    hints = typing.get_type_hints(make.__init__)  # type: ignore[misc]
    for name in inspect.signature(make).parameters:
        if name in options and not fits(options[name], hints.get(name, Any)):
            raise TypeError(f"{name} should be {_said(hints[name])}, not {_said(options[name])}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; whole numbers are numbers, and NaN is none."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if hint is float:
        return (type(value) is float and not math.isnan(value)) or fits(value, int)
    if hint is int:
        return type(value) is int and abs(value) < MOST
    if hint in (bool, str, types.NoneType):
        return type(value) is hint
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        same = isinstance(value, list | tuple) and len(value) == len(inner)
        return same and all(map(fits, value, inner))
    if origin in (tuple, Sequence):
        return isinstance(value, list | tuple) and all(fits(item, inner[0]) for item in value)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items()
        )
    return isinstance(value, origin or hint)


def _said(what: Any) -> str:
    """The name of a type, or what a value is; the value itself may be endless."""
    if isinstance(what, bool | str | Mapping | list | tuple) or what is None:
        plain = {bool: "true or false", str: "a word", types.NoneType: "none"}
        other = "a list" if isinstance(what, list | tuple) else "an object"
        return plain.get(type(what), other)
    if isinstance(what, int | float):
        return f"{what:.6g}" if abs(what) < 1e300 else "a number beyond all bounds"
    return str(TYPES.get(what) or getattr(what, "__name__", what))
