"""A trained network that is told more than before: what is new adds nothing until it has learned.

Every tensor of the old network is taken. A tensor whose columns belong to the state and to
conditions (the first convolution, whose input channels an image beside brings more of) is taken
column by column, and new columns are zero. Other new tensors are those of a new condition, one of
which is zero wherever it would add to what is there (`Network.silence`), so that the others learn
from the first step on.

The widened network equals the old one, whatever it is told: bit for bit, for the input channels of
each condition are convolved by themselves and added up (`layers.side_by_side`); to the rounding of
a matrix product where numbers of pixels and vectors are new columns of a linear layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.networks.conditioning import Specs, first_classes
from demist.networks.network import Network


@dataclass(frozen=True)
class Widened:
    """A widened network, and where its tensors come from, by name.

    Attributes:
        net: The network.
        taken: Tensors that are those of the old one.
        wider: Those with more columns than it had.
        new: Those that it had not.
    """

    net: Network
    taken: Sequence[str]
    wider: Sequence[str]
    new: Sequence[str]

    def count(self, names: Sequence[str]) -> int:
        """How many numbers are in some tensors."""
        tensors = self.net.state_dict()
        return sum(tensors[name].numel() for name in names)


def widened(base: Network, inlets: Specs, **changed: object) -> Widened:
    """A network with the weights of another one, which takes further conditions.

    Its new weights come from torch's generator.

    Args:
        base: The other one.
        inlets: Specs of all conditions by name, those of `base` first and as they are there.
        changed: Further arguments of the constructor that no tensor depends on, such as a dropout.

    Raises:
        UsageError: A condition of `base` is missing, or a new one cannot be added to it.
    """
    config = base.config
    old = {**_label(config), **config.get("inlets", {})}
    if list(inlets)[: len(old)] != list(old) or any(old[k] != dict(inlets[k]) for k in old):
        raise UsageError(
            f"a network that is told {', '.join(old) or 'nothing'} cannot become one that is told "
            f"{', '.join(inlets) or 'nothing'}: keep its conditions as they are, and add others "
            f"after them"
        )
    added = [name for name in inlets if name not in old]
    _require_attention_of_its_own(old, {name: inlets[name] for name in added})
    own = {name: inlets[name] for name in inlets if name not in _label(config)}
    net = type(base)(**config | changed | ({"inlets": own} if added else {}))
    net.silence(added)
    kept = {base.aliases.get(name, name): value for name, value in base.state_dict().items()}
    before, after = base.columns, net.columns
    taken, wider, new = list[str](), list[str](), list[str]()
    state = net.state_dict()
    for name, value in state.items():
        found = kept.pop(net.aliases.get(name, name), None)
        if found is None:
            new.append(name)
        elif name in after and before[name] != after[name]:
            wider.append(name)
            state[name] = _by_columns(found, before[name], after[name])
        elif found.shape == value.shape:
            taken.append(name)
            state[name] = found
        else:
            raise UsageError(
                f"{name} has shape {tuple(found.shape)} and would need {tuple(value.shape)} to be "
                f"told {', '.join(added) or 'the same'}; give the new condition another route"
            )
    if kept:
        raise UsageError(
            f"the network has no place for {len(kept)} tensors of the one it starts from, first "
            f"{next(iter(kept))}; leave out the condition {added[-1] if added else ''}"
        )
    net.load_state_dict(state)
    return Widened(net.train(base.training), taken, wider, new)


def _label(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The condition that `num_classes` stands for; see `conditioning.first_classes`."""
    name, count, _ = first_classes(config.get("num_classes", 0), None)
    return {name: {"route": "vector", "classes": count}} if count else {}


def _require_attention_of_its_own(old: Specs, added: Specs) -> None:
    """Raise UsageError if words are added to words: one attention would divide itself anew."""
    before = {spec["route"] for spec in old.values()}
    for name, spec in added.items():
        route = spec["route"]
        if route in ("tokens", "extra") and route in before:
            raise UsageError(
                f"the condition {name} would share the attention (route {route}) of a condition "
                f"that the network has learned, and change what that does; give it a route that is "
                f"free, {'extra (network unet)' if route == 'tokens' else 'tokens'}, or leave it "
                f"out"
            )


def _by_columns(old: Tensor, before: Mapping[str, int], after: Mapping[str, int]) -> Tensor:
    """Columns that the old tensor has, and zeros for the others."""
    known = dict(zip(before, old.split(list(before.values()), dim=1), strict=True))
    shape = (old.shape[0], 0, *old.shape[2:])
    blocks = [
        known[what] if what in known else old.new_zeros(shape[0], count, *shape[2:])
        for what, count in after.items()
    ]
    return torch.cat(blocks, 1).contiguous()
