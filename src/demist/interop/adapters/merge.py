"""Changes of weights as a new network, which shares all else with the old one."""

import copy
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from demist.interop.adapters.fit import Change

M = TypeVar("M", bound=nn.Module)


def merged(net: M, changes: Iterable[tuple[Change, float]], prefix: str = "") -> M:
    """A network whose weights are changed; the one given stays as it was, to the bit.

    Sums are made in float32 and rounded once to the type of the weights.

    Args:
        net: A network, or what holds it.
        changes: Each with its weight.
        prefix: Before the names of weights in `net`, such as `net.`.
    """
    old, by_name = dict(net.named_parameters()), dict[str, list[tuple[Change, float]]]()
    for change, weight in changes:
        by_name.setdefault(prefix + change.target.weights, []).append((change, weight))
    new = {}
    for name, parts in by_name.items():  # one by one: a sum in float32 is gone before the next
        total = old[name].detach().to(torch.promote_types(old[name].dtype, torch.float32))
        for change, weight in parts:
            total = total + weight * change.delta(total)
        new[name] = total.to(old[name].dtype)
    return replaced(net, new)


def replaced(net: M, tensors: Mapping[str, Tensor]) -> M:
    """A network with other tensors in the place of some parameters; all others are shared."""
    memo: dict[int, Tensor] = {id(b): b for b in net.buffers()}
    for name, parameter in net.named_parameters():
        given = tensors.get(name)
        memo[id(parameter)] = (
            parameter if given is None else nn.Parameter(given, parameter.requires_grad)
        )
    return copy.deepcopy(net, memo)
