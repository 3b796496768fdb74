"""Operators and methods by name, for the command line and saved files."""

from torch import Tensor

from demist.errors import UsageError
from demist.inverse.method import Method
from demist.inverse.operator import Operator, Shape
from demist.parts import Family

OPERATORS = Family("operator", Operator, "inverse.operators")  # type: ignore[type-abstract]
METHODS = Family("method", Method, "inverse.methods")  # type: ignore[type-abstract]


def make_operator(spec: str, shape: Shape, **tensors: Tensor) -> Operator:
    """An operator on states of a shape, from `name:option=value,...`; `a@b` measures with b first.

    Args:
        spec: The operator, such as `sr:factor=4@blur:std=1`.
        shape: Of one state.
        tensors: What is not written but read from files, such as a mask, by the name of the field.

    Raises:
        UsageError: There is no such operator or option, or it does not fit the shape.
    """
    outer, at, inside = spec.partition("@")
    if not at:
        return OPERATORS.make(spec, shape=tuple(shape), **tensors)
    if not outer.strip() or not inside.strip():
        raise UsageError(f"operator {spec!r}: write an operator on both sides of @")
    first = make_operator(inside, shape, **tensors)
    return make_operator(outer, first.out, **tensors) @ first


def make_method(spec: str) -> Method:
    """A method from `name` or `name:option=value,option=value`.

    Raises:
        UsageError: There is no such method or option, or a value is out of range.
    """
    return METHODS.make(spec)
