"""Operators and methods by name, for the command line and saved files."""

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from torch import Tensor

from demist.errors import UsageError
from demist.inverse.method import Method
from demist.inverse.operator import Operator, Shape
from demist.parts import Family, bare, split

OPERATORS = Family("operator", Operator, "inverse.operators")  # type: ignore[type-abstract]
METHODS = Family("method", Method, "inverse.methods")  # type: ignore[type-abstract]

ReadFile = Callable[[str, str, Shape], Tensor]
"""What a file holds for an operator: `(kind, path, shape of a state) -> tensor`; the kind is what
the metadata of the operator's field says under `file`: mask, kernel or matrix."""


def make_operator(spec: str, shape: Shape, read: ReadFile | None = None) -> Operator:
    """An operator on states of a shape, from `name:value,...,option=value`.

    Values without a name are the operator's fields in their order: `sr:4` is `sr:factor=4`. With
    `a@b` the state is measured with b first, and that with a: `sr:4@blur:1.5`.

    Args:
        spec: The operator.
        shape: Of one state.
        read: Reads the files that `spec` names; None: it names none.

    Raises:
        UsageError: There is no such operator or option, or it does not fit the shape.
    """
    names = "|".join(map(re.escape, OPERATORS.names()))
    outer, *inside = re.split(rf"@(?=\s*(?:{names})\s*(?:[:@]|$))", spec, maxsplit=1)
    if not inside:
        return _made(spec, tuple(shape), read)
    first = make_operator(inside[0], shape, read)
    return _made(outer, first.out, read) @ first


def make_method(spec: str) -> Method:
    """A method from `name` or `name:option=value,option=value`.

    Raises:
        UsageError: There is no such method or option, or a value is out of range.
    """
    return METHODS.make(spec)


def _made(spec: str, shape: Shape, read: ReadFile | None) -> Operator:
    """One operator, its values named and its files read."""
    name, _, rest = bare(spec).partition(":")
    name = name.strip()
    cls = _classes().get(name)
    if cls is None:
        return OPERATORS.make(name)  # which says what there is
    files = {f.name: f.metadata["file"] for f in fields(cls) if "file" in f.metadata}
    order = [key for key in OPERATORS.options(cls) if key not in cls.given]
    named, tensors = list[str](), dict[str, Tensor]()
    for value in split(rest):
        key, equals, text = value.partition("=")
        if not (equals and key.strip().replace("-", "_") in order):
            key, text = _field(name, value, order, list(files)), value
        key = key.strip().replace("-", "_")
        if key in order:
            order.remove(key)
        if key not in files:
            named.append(f"{key}={text.strip()}")
        elif read is None:
            raise UsageError(f"operator {spec!r} names a file; give a tensor to its class instead")
        else:
            tensors[key] = read(files[key], bare(text), shape)
    part = OPERATORS.read(f"{name}:{','.join(named)}" if named else name)
    return part.make(shape=shape, **tensors)


def _field(name: str, value: str, order: list[str], files: list[str]) -> str:
    """The field that a value without a name is for: a file's, if it is no number; else the next."""
    plain = [key for key in order if key not in files]
    named = [key for key in files if key in order]
    number = re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value.strip())
    found = named if named and not (number and plain) else plain
    if not found:
        raise UsageError(f"operator {name} has no place for {value!r}; `demist list operators`")
    return found[0]


def _classes() -> dict[str, Any]:
    """Name -> class."""
    return {cls.name: cls for cls in OPERATORS.classes if cls.name}
