"""Configurations of published networks: `config.json` as diffusers writes it, read and checked.

A configuration is a frozen dataclass whose fields have diffusers' names and that class's defaults.
A key that it does not know is refused unless its value changes nothing (None, false, "default").
"""

import dataclasses
import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import pydantic

from demist.errors import DataError

C = TypeVar("C")

NEUTRAL: tuple[Any, ...] = (None, False, 0, 0.0, "", "default", [], {})
"""Values of unknown keys that ask for nothing."""

IGNORED = {"sample_size", "force_upcast", "scaling_factor", "shift_factor", "latents_mean",
           "latents_std", "num_train_timesteps", "interpolation_type"}  # fmt: skip
"""Keys that say nothing of the network itself; others read them."""


DEEPEST = 2000
"""The most layers, all counts multiplied; published networks have up to 722."""


@cache
def _adapter(cls: Hashable) -> Any:
    return pydantic.TypeAdapter(cast(Any, cls))


def read(cls: type[C], values: Mapping[str, Any], where: str) -> C:
    """The configuration in a JSON object.

    Args:
        cls: Its class.
        values: The object; keys that begin with `_` are notes.
        where: For messages.

    Raises:
        DataError: A value is of the wrong type, or a key asks for what is not known here.
    """
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given = {k: v for k, v in values.items() if not k.startswith("_")}
    others = {k: v for k, v in given.items() if k not in known | IGNORED and v not in NEUTRAL}
    if others:
        key, value = next(iter(others.items()))
        raise DataError(
            f"{where} has {key} = {value!r}, which this version does not know; networks of this "
            f"kind can be used through demist.interop.wrap with diffusers installed"
        )
    try:
        made: C = _adapter(cast(Hashable, cls)).validate_python(
            {k: v for k, v in given.items() if k in known}
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "configuration"
        raise DataError(f"{where} has {key} = {first['input']!r}: {first['msg'].lower()}") from None
    groups = getattr(made, "norm_num_groups", 1)
    if groups is not None and groups < 1:  # which no weights could contradict
        raise DataError(f"{where} has norm_num_groups = {groups}; it must be 1 or more")
    _require_shallow(made, where)
    return made


def _require_shallow(config: object, where: str) -> None:
    """Refuse a network that takes for ever to build, before its weights could contradict it."""
    deep = {}
    for key, value in vars(config).items():
        if "layers" in key or "blocks" in key:
            rows = value if isinstance(value, tuple) else (value,)
            numbers = [n for row in rows for n in (row if isinstance(row, tuple) else (row,))]
            deep[key] = max((n for n in numbers if isinstance(n, int)), default=1)
    if math.prod(max(1, count) for count in deep.values()) > DEEPEST:
        said = ", ".join(f"{key} = {count}" for key, count in deep.items() if count > 1)
        raise DataError(f"{where} has {said}, deeper than any network that is known")


def each(value: Any, levels: int, key: str) -> list[Any]:
    """One value for each level, from one for all or a list.

    Raises:
        DataError: The list has another length.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        return [value] * levels
    if len(value) != levels:
        raise DataError(f"{key} = {list(value)!r} has {len(value)} values for {levels} levels")
    return list(value)
