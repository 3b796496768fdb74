"""Where the tensors of a network lie in a single file: one table for reading and for writing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Place:
    """Where one tensor lies.

    Attributes:
        name: Of the file's tensor.
        take: Which of its equal shares along the first axis, in this order.
        of: How many shares there are.
        pixels: Whether the file has a convolution of one pixel where the network has a matrix.
        turned: Whether the file has the matrix transposed.
    """

    name: str
    take: tuple[int, ...] = (0,)
    of: int = 1
    pixels: bool = False
    turned: bool = False


Places = Mapping[str, Place]
"""Name of a tensor of the network -> where it is."""


def below(prefix: str, places: Places) -> dict[str, Place]:
    """The same places, in a file whose names begin with `prefix`."""
    return {name: replace(place, name=prefix + place.name) for name, place in places.items()}


def gathered(places: Places, read: Callable[[str], Tensor]) -> dict[str, Tensor]:
    """The network's tensors; shares of one tensor of the file are views of it, read once.

    Args:
        places: Where they are.
        read: Gives a tensor of the file.
    """
    found = {}
    for name, keys in _by_file(places).items():
        whole = read(name)
        for key in keys:
            place = places[key]
            value = _taken(whole, place)
            if place.pixels and value.shape[2:]:
                value = value[:, :, 0, 0]
            found[key] = value.T.contiguous() if place.turned else value
    return found


def names_in_file(places: Places) -> set[str]:
    """Names of the file's tensors that are used."""
    return {place.name for place in places.values()}


def joined(places: Places, tensors: Callable[[str], Tensor]) -> dict[str, Callable[[], Tensor]]:
    """The file's tensors, each made when it is asked for.

    Args:
        places: Where the network's tensors go.
        tensors: Gives one of them.
    """

    def make(keys: list[str]) -> Callable[[], Tensor]:
        def whole() -> Tensor:
            shares: dict[int, Tensor] = {}
            for key in keys:
                place, value = places[key], tensors(key)
                value = value.T if place.turned else value
                value = value[:, :, None, None] if place.pixels else value
                shares |= dict(zip(place.take, value.chunk(len(place.take)), strict=True))
            rows = [shares[i] for i in sorted(shares)]
            return rows[0] if len(rows) == 1 else torch.cat(rows)

        return whole

    return {name: make(keys) for name, keys in _by_file(places).items()}


def renamed(
    names: Iterable[str], modules: Mapping[str, str], inside: Mapping[str, str]
) -> dict[str, Place]:
    """Places of tensors whose modules have other names.

    Args:
        names: Of the network's tensors.
        modules: Module -> module in the file; the longest that a name begins with counts.
        inside: The same for what follows after a module that is a residual block: the network's
            name -> the file's. What is not in it stays.
    """
    found = {}
    for name in names:
        head = name
        while head and head not in modules:
            head = head.rpartition(".")[0]
        rest = name[len(head) :].lstrip(".")
        module, _, last = rest.rpartition(".")
        rest = f"{inside.get(module, module)}.{last}".lstrip(".")
        found[name] = Place(".".join(filter(None, (modules.get(head, ""), rest))))
    return found


def _taken(whole: Tensor, place: Place) -> Tensor:
    if place.of == 1:
        return whole
    rows = whole.shape[0] // place.of
    first, last = place.take[0], place.take[-1]
    if place.take == tuple(range(first, last + 1)):
        return whole[first * rows : (last + 1) * rows]
    return torch.cat([whole[i * rows : (i + 1) * rows] for i in place.take])


def _by_file(places: Places) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, place in places.items():
        found.setdefault(place.name, []).append(key)
    return found
