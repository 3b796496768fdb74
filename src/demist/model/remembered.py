"""A solver's memory as JSON and named tensors, and back: data in both directions, never code."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from demist.core import Prediction
from demist.errors import DataError, UsageError

FIELDS = ("x0", "eps", "alpha", "sigma", "spread")
"""Of a prediction, which solvers that correct a step remember."""


def pack(memory: Any, keep: Callable[[Tensor], str]) -> Any:
    """The memory as JSON.

    Args:
        memory: Tensors, numbers, predictions and None, in tuples and lists.
        keep: Stores a tensor, and says under which name.

    Raises:
        UsageError: It holds something else.
    """
    if memory is None or isinstance(memory, bool | int | str):
        return memory
    if isinstance(memory, float):
        return {"float": memory.hex()}
    if isinstance(memory, Tensor):
        return {"tensor": keep(memory)}
    if isinstance(memory, Prediction):
        parts = {name: pack(getattr(memory, name), keep) for name in FIELDS}
        return {"prediction": parts}
    if type(memory) in (tuple, list):
        return {type(memory).__name__: [pack(item, keep) for item in memory]}
    raise UsageError(
        f"this way of sampling remembers a {type(memory).__name__}, which a trace does not hold; "
        f"sample without a trace, or with another solver or method"
    )


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `pack` wrote.

    Args:
        tree: JSON.
        tensors: By the names that `keep` gave.

    Raises:
        DataError: It is not what `pack` writes.
    """
    if tree is None or isinstance(tree, bool | int | str):
        return tree
    if isinstance(tree, dict) and len(tree) == 1:
        ((kind, value),) = tree.items()
        if kind == "tensor" and isinstance(value, str) and value in tensors:
            return tensors[value]
        if kind == "float" and isinstance(value, str):
            try:
                return float.fromhex(value)
            except (ValueError, OverflowError):
                raise DataError(f"{value[:40]!r} is no number") from None
        if kind in ("tuple", "list") and isinstance(value, list):
            items = [unpack(item, tensors) for item in value]
            return tuple(items) if kind == "tuple" else items
        if kind == "prediction" and isinstance(value, dict) and set(value) == set(FIELDS):
            return Prediction(**{name: unpack(value[name], tensors) for name in FIELDS})
    raise DataError(f"{str(tree)[:60]!r} is no memory of a solver")


def moved(memory: Any, how: Callable[[Tensor], Tensor]) -> Any:
    """The same memory, each of its tensors as `how` gives it."""
    if isinstance(memory, Tensor):
        return how(memory)
    if isinstance(memory, Prediction):
        return Prediction(**{name: moved(getattr(memory, name), how) for name in FIELDS})
    if type(memory) in (tuple, list):
        return type(memory)(moved(item, how) for item in memory)
    return memory
