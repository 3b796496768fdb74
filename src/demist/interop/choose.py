"""Which tensors of a checkpoint are its weights, and what else it holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from demist.errors import DataError, RefusedError, UsageError
from demist.io.pickles import Items, Name, Stored, Unknown, shown

DEEPEST, MOST, LONGEST = 64, 250_000, 1000
"""Containers in each other, values looked at, letters of a tensor's name."""

ALWAYS = ("state_dict", "model_state_dict")
"""Where these lie beside other things, they are the weights."""
ALONE = (*ALWAYS, "model", "module", "params", "params_ema", "ema", "net", "generator", "weights")
"""Taken for a wrapper where nothing beside it holds tensors."""


@dataclass(frozen=True)
class Chosen:
    """The weights.

    Attributes:
        tensors: By dotted name.
        place: Dotted path of the dict they were taken from; "" for all of the file.
        others: What lies beside that dict, or in it without being a tensor: dotted name -> what.
        names: Classes and functions that were met and not run, with how often.
    """

    tensors: dict[str, Stored]
    place: str
    others: dict[str, str]
    names: dict[str, int]


def choose(value: Any, only: str | None = None) -> Chosen:
    """The weights in what a checkpoint says.

    Args:
        value: Of `demist.io.pickles.Checkpoint`.
        only: Dotted path of the dict to take; None: a state_dict, or what is alone in its wrapper.

    Raises:
        UsageError: There is nothing at `only`.
        DataError: There are no tensors, or their names cannot be told apart.
        RefusedError: A tensor depends on what would have to be run.
    """
    budget = _Budget()
    node, place, others = _found(value, only) if only else _unwrapped(value, budget)
    tensors: dict[str, Stored] = {}
    for name, leaf in _leaves(node):
        if isinstance(leaf, Unknown) and (leaf.tensor or any(_tensors(leaf, budget))):
            raise RefusedError(
                f"{shown(name) or 'all of it'} is a {leaf.name} and holds tensors, which only its "
                f"code could take apart; save its state_dict() instead"
            )
        if not isinstance(leaf, Stored):
            others[".".join(filter(None, (place, name)))[:LONGEST]] = _kind(leaf, budget)
            continue
        name = name or "tensor"
        if name in tensors or name == "__metadata__" or len(name) > LONGEST:
            raise DataError(f"two tensors are called {shown(name)!r}, or it is no name for one")
        tensors[name] = leaf
    if not tensors:
        where = f"under {shown(place)!r}" if place else "in it"
        raise DataError(f"there are no tensors {where}; {_contents(value)}")
    return Chosen(tensors, place, others, _names(value, budget))


def _unwrapped(value: Any, budget: "_Budget") -> tuple[Any, str, dict[str, str]]:
    """The dict of weights, its path, and what lies beside it."""
    others: dict[str, str] = {}
    path: list[str] = []
    while isinstance(value, Items) and len(path) < DEEPEST:
        full = {_key(k): v for k, v in value if isinstance(v, Items) and any(_tensors(v, budget))}
        bare = [k for k, v in value if isinstance(v, Stored)]
        inner = next((key for key in ALWAYS if key in full), None)
        if inner is None and len(full) == 1 and not bare:
            inner = next((key for key in full if key in ALONE), None)
        if inner is None or bare:
            break
        for key, beside in value:
            if _key(key) != inner:
                others[".".join([*path, _key(key)])[:LONGEST]] = _kind(beside, budget)
        path.append(inner)
        value = full[inner]
    return value, ".".join(path), others


def _found(value: Any, only: str) -> tuple[Any, str, dict[str, str]]:
    """What lies at a dotted path; a key may have dots."""
    node, rest = value, only
    while rest:
        for key, inner in _children(node):
            if rest == key or rest.startswith(f"{key}."):
                node, rest = inner, rest[len(key) + 1 :]
                break
        else:
            raise UsageError(f"there is nothing at {only!r}; {_contents(value)}")
    return node, only, {}


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Everything that is no container, by its dotted name, in the order of the file."""
    waiting = [("", value, 0)]
    count = 0
    while waiting:
        name, node, depth = waiting.pop()
        count += 1
        if count > MOST or depth > DEEPEST:
            raise DataError(
                f"it has more than {MOST:,} values, or more than {DEEPEST} containers in each other"
            )
        if not isinstance(node, Items | list | tuple):
            yield name, node
            continue
        inner = []
        for key, child in _children(node):
            count += 1
            if count > MOST or len(name) + len(key) > LONGEST:
                raise DataError(f"it has more than {MOST:,} values, or names that are too long")
            inner.append((f"{name}.{key}" if name else key, child, depth + 1))
        waiting += reversed(inner)


def _children(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Items):
        yield from ((_key(key), value) for key, value in node)
    elif isinstance(node, list | tuple):
        yield from ((str(i), value) for i, value in enumerate(node))


def _key(key: Any) -> str:
    """A key, as part of a name: only texts and numbers are taken as they are."""
    if isinstance(key, str):
        return key[: LONGEST + 1]
    if isinstance(key, int | float | None):
        return repr(key) if type(key) is not int or abs(key) < 2**64 else "number"
    return key.text if isinstance(key, Name) else type(key).__name__.lower()


class _Budget:
    """How many values may be looked at."""

    def __init__(self) -> None:
        self.left = 16 * MOST

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise DataError("it has more containers than can be looked through")


def _every(value: Any, budget: _Budget) -> Iterator[Any]:
    """Every value once, however it is reached."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop()
        budget.spend(1)
        if isinstance(node, Items | list | tuple | Unknown):
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, Items):
                inner = [part for pair in node for part in pair]
            else:
                inner = list(node.parts if isinstance(node, Unknown) else node)
            budget.spend(len(inner))
            waiting += inner
        yield node


def _tensors(value: Any, budget: _Budget) -> Iterator[bool]:
    """True for each tensor in it."""
    return (True for v in _every(value, budget) if isinstance(v, Stored) or _makes(v))


def _makes(value: Any) -> bool:
    return isinstance(value, Unknown) and value.tensor


def _kind(value: Any, budget: _Budget) -> str:
    """What something is, in a few words."""
    if isinstance(value, Items | list | tuple):
        count = sum(_tensors(value, budget))
        return f"{count:,} tensor{'s' * (count != 1)}" if count else "no tensors"
    if isinstance(value, Stored):
        return "a tensor"
    if isinstance(value, Unknown | Name):
        return value.name if isinstance(value, Unknown) else shown(value.text)
    if type(value) is int and abs(value) >= 2**64:
        return "a number"
    return shown(value) if isinstance(value, str | int | float | None) else "bytes"


def _names(value: Any, budget: _Budget) -> dict[str, int]:
    """Classes and functions that would have been run."""
    found: dict[str, int] = {}
    for node in _every(value, budget):
        if isinstance(node, Unknown):
            found[node.name] = found.get(node.name, 0) + 1
    return found


def _contents(value: Any) -> str:
    """What there is instead."""
    keys = [shown(key) for key, _ in islice(_children(value), 12)]
    if isinstance(value, Unknown):
        return f"it is a {value.name}"
    return f"it holds {', '.join(keys)}" if keys else "it is one value"
