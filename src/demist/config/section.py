"""What an option is: a field with a range or a notation, checked when its section is made."""

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, Literal

from demist import parts
from demist.config.notation import (
    check_part,
    check_size,
    nearest,
    parse_cadence,
    parse_duration,
    parse_evaluations,
    parse_list,
    require_utf8,
)
from demist.errors import UsageError
from demist.io.notation import parse_buckets, parse_range

_KINDS: dict[str, Callable[[Any], Any]] = {
    "duration": parse_duration,
    "cadence": parse_cadence,
    "evaluations": parse_evaluations,
    "size": check_size,
    "range": parse_range,
    "buckets": parse_buckets,
    "part": check_part,
}


def _check(name: str, value: Any, rule: Mapping[str, Any], default: Any) -> None:
    require_utf8(name, value)
    low, high = rule.get("low"), rule.get("high")
    for number in value if isinstance(value, tuple) else (value,):
        if low is not None and not number >= low:
            raise UsageError(f"{name} = {value!r}: must be at least {low:g}")
        if high is not None and not number <= high:
            raise UsageError(f"{name} = {value!r}: must be at most {high:g}")
    parse = _KINDS.get(rule.get("kind", ""))
    part = rule.get("part")
    try:
        if parse is not None:
            parse(value)
        # The source is read for the names only where a value is not the default.
        if part and value not in (default, *rule.get("words", ())):
            names = parts.declared(*part)
            for one in parse_list(value) if rule.get("many") else [value]:
                if (head := parts.parse(one)[0]) not in names:
                    known = (*rule.get("words", ()), *names)
                    raise UsageError(f"unknown{nearest(head, known)} of {', '.join(known)}")
    except UsageError as error:
        raise UsageError(f"{name} = {value!r}: {error}") from None


def option(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    part: tuple[str, str] | None = None,
    kind: Literal[
        "plain", "duration", "cadence", "evaluations", "size", "range", "buckets", "part"
    ] = "plain",
    words: tuple[str, ...] = (),
    many: bool = False,
) -> Any:
    """A field with its range (both ends included) or its notation.

    A component has a `part` instead: the package and the base class of those that may be named;
    `words` may stand there too, or with `many` several components, separated by commas.
    """
    rule = {"low": low, "high": high, "part": part, "kind": kind, "words": words, "many": many}
    return field(default=default, metadata=rule)


class Section:
    """A group of options. Every value is checked when the group is made."""

    def __post_init__(self) -> None:
        for spec in fields(self):  # type: ignore[arg-type]
            value = getattr(self, spec.name)
            if value == "none" and spec.default is None:  # as in TOML, which lacks None
                value = None
                object.__setattr__(self, spec.name, value)
            if value is not None:
                _check(spec.name, value, spec.metadata, spec.default)
