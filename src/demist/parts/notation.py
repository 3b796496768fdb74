"""How parts and their options are written: `name:option=value,option=value`.

A value is a number, a word, `none`, `true` or `false` (also 1 or 0), another part, or a list.
A value that holds a comma is put in parentheses, and a list always is:

    corrected:solver=heun,n=2
    shifted:schedule=(vp:beta_min=0.1,beta_max=12),shift=2
    table:alpha_bar=(0.9,0.5,0.1)
"""

import difflib
import types
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any

from demist.errors import UsageError

Reader = Callable[[str], Any]
"""A value from its text; ValueError says what it should have been."""


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Name and options: `"ddim:eta=0.5"` -> `("ddim", {"eta": "0.5"})`.

    Raises:
        UsageError: An option is not written `name=value`, or parentheses do not match.
    """
    name, _, rest = bare(spec).partition(":")
    options: dict[str, str] = {}
    for item in split(rest):
        key, equals, value = item.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise UsageError(f"{item!r} in {spec!r} is not name=value")
        options[key.strip().replace("-", "_")] = value.strip()
    return name.strip(), options


def with_option(spec: str, name: str, value: str) -> str:
    """The part that `spec` names, with another value of one option: `"ddim"` -> `"ddim:eta=1"`.

    Raises:
        UsageError: As `parse`.
    """
    head, options = parse(spec)
    given = options | {name: value}
    texts = {key: f"({text})" if "," in bare(text) else text for key, text in given.items()}
    return f"{head}:" + ",".join(f"{key}={text}" for key, text in texts.items())


def split(text: str) -> list[str]:
    """`"a,(b,c)"` -> `["a", "(b,c)"]`: at the commas outside of parentheses.

    Raises:
        UsageError: A parenthesis is not closed, or was not opened.
    """
    items, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == "," and not depth:
            items.append("")
        else:
            items[-1] += letter
    if depth:
        raise UsageError(f"the parentheses in {text!r} do not match")
    return [item.strip() for item in items if item.strip()]


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The message about a name that does not exist: the nearest one, and what there is."""
    known = list(known)
    near = close(name, known)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"there is no {what} called {name!r}.{hint} There are: {', '.join(known) or 'none'}"


def close(word: str, known: Iterable[str]) -> str:
    """The name that was perhaps meant, however its letters, dashes and plus signs are; "" if none.

    A longer name that begins so goes before one that is written alike: `dpm++` is `dpmpp-2m`.
    """
    names: dict[str, str] = {}
    for name in known:
        names.setdefault(_alike(name), name)
    wanted = _alike(word)
    begin = [name for name in names if name.startswith(wanted) and len(wanted) > 2]
    found = [wanted] if wanted in names else begin or difflib.get_close_matches(wanted, names, n=1)
    return names[found[0]] if found else ""


def _alike(name: str) -> str:
    return name.lower().replace("+", "p").replace("_", "-").replace(" ", "-")


def bare(text: str) -> str:
    """Text without the parentheses around it, if one pair holds it all."""
    text = text.strip()
    depths = list(accumulate((letter == "(") - (letter == ")") for letter in text))
    whole = text[:1] == "(" and depths[-1] == 0 and all(depth > 0 for depth in depths[:-1])
    return text[1:-1].strip() if whole else text


def read_number(text: str) -> float:
    """A number; ValueError says that it is none."""
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


def _whole(text: str) -> int:
    try:
        return int(text) if text.lstrip("+-").isdecimal() else _exactly(float(text))
    except (ValueError, OverflowError):
        raise ValueError("a whole number") from None


def _exactly(value: float) -> int:
    if value != int(value):
        raise ValueError
    return int(value)


def _truth(text: str) -> bool:
    return one_of(text.lower(), ("false", "true", "0", "1")) in ("true", "1")


def _nothing(text: str) -> None:
    if text.lower() != "none":
        raise ValueError("none")


PLAIN: dict[Any, Reader] = {
    float: read_number,
    int: _whole,
    bool: _truth,
    str: bare,
    types.NoneType: _nothing,
}
"""Type -> how its values are read."""

TYPES: dict[Any, str] = {
    float: "number",
    int: "whole number",
    bool: "true or false",
    str: "word",
    types.NoneType: "none",
}
"""Type -> what it is called."""


def one_of(text: str, known: Sequence[Any]) -> Any:
    """The value that is written like this."""
    for value in known:
        if str(value) == text:
            return value
    raise ValueError(f"one of {', '.join(map(str, known))}")


def first(text: str, readers: Sequence[Reader]) -> Any:
    """What the first reader that can makes of it; `none` and numbers go before words."""
    wanted = []
    for reader in sorted(readers, key=lambda reader: (reader is bare, reader is not _nothing)):
        try:
            return reader(text)
        except ValueError as error:
            wanted.append(str(error))
    raise ValueError(" or ".join(wanted))


def listed(text: str, readers: Sequence[Reader]) -> tuple[Any, ...]:
    """A list of one kind of value, or of as many kinds as it has values."""
    if not (text[:1] == "(" and text[-1:] == ")"):
        raise ValueError("a list in parentheses, such as (1,2)")
    items = split(text[1:-1])
    if len(readers) > 1 and len(items) != len(readers):
        raise ValueError(f"a list of {len(readers)} values")
    return tuple(read(item) for read, item in zip(list(readers) * len(items), items, strict=False))
