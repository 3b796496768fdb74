"""Where conditions enter a network, by route.

A network is built from the inlets of its conditions, which are plain JSON, and called with one
tensor for each condition of one part, and one for each part, `name.part`, of the others:

| route | spec | parts | what becomes of them |
|---|---|---|---|
| vector | classes | `(b,)` indices, K for none | its row of a table, to the embedding of the time |
| vector | features | `(b, D)` in all | added to the embedding of the time |
| vector | sizes | `(b, D)` in all | D numbers as waves, to the embedding of the time |
| tokens | features | states, weights, pooled | pooled to the embedding, states to attention |
| tokens | vocabulary, length, width, depth, tower | tokens, weights | read by `tower_of` |
| extra | features | as tokens | attention of its own |
| concat | channels | `(b, C, h, w)` in all | more input channels |
| residual | channels | `(b, C, h, w)` in all | added to the first feature map |

Parts that together are a vector or channels stand in the order of the alphabet.
Every branch that adds to the main path starts at zero, except the vectors of the embedding.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.layers import class_table, look_up, sinusoid, zeroed
from demist.networks.text import tower_of, widths_of

Specs = Mapping[str, Mapping[str, Any]]

WAVES = 32
"""Cosines and sines of each number of pixels, of periods from 6 to about 35,000 pixels."""


@dataclass
class Routed:
    """The conditions of a network, sorted by route; tensors `(b, ...)`, or None or no such.

    Attributes:
        vector: To add to the embedding.
        tokens: For cross- or joint attention, `(b, m, c)`.
        weight: How much each token counts, `(b, m)`.
        extra: Tokens with attention of their own.
        extra_weight: How much each of these counts.
        concat: Input channels, of one condition each.
        residual: To add to the first feature map.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    weight: Tensor | None = None
    extra: Tensor | None = None
    extra_weight: Tensor | None = None
    concat: list[Tensor] = field(default_factory=list)
    residual: Tensor | None = None


class ConditionEmbedding(nn.Module):
    """Takes all conditions of a network in.

    Args:
        inlets: By name of the condition.
        emb: Width of the embedding.
        tokens: Width of the tokens that the network attends to.
        features: Channels of the first feature map; 0 where there is none.
        patch: Side of the patches in which pixels enter.
    """

    def __init__(self, inlets: Specs, emb: int, tokens: int, features: int = 0, patch: int = 1):
        super().__init__()
        self.inlets, self.patch = {name: dict(spec) for name, spec in inlets.items()}, patch
        self.parts = nn.ModuleDict()
        for name, spec in self.inlets.items():
            self.parts[name] = _built(spec, emb, tokens, features, patch)

    @property
    def concat_channels(self) -> int:
        """How many input channels the conditions bring."""
        return sum(i["channels"] for i in self.inlets.values() if i["route"] == "concat")

    def columns(self, state: int) -> dict[str, int]:
        """Whose the input channels are, `state` of them the state's; see `Network.columns`."""
        beside = {k: i["channels"] for k, i in self.inlets.items() if i["route"] == "concat"}
        return {"state": state, **beside}

    def silence(self, names: Iterable[str]) -> None:
        """See `Network.silence`. Tokens go through attention that adds nothing when it is new."""
        for name in names:
            part = self.parts[name]
            if isinstance(part, Words | Ready):
                zeroed(part.pooled)
            else:
                silenced(part)

    def has(self, route: str) -> bool:
        """Whether some condition takes this route."""
        return any(spec["route"] == route for spec in self.inlets.values())

    def forward(self, cond: Mapping[str, Tensor]) -> Routed:
        """Sort and embed the conditions.

        Raises:
            UsageError: They are not those that the network was built for.
        """
        given = by_name(cond)
        if given.keys() != self.inlets.keys():
            has = ", ".join(self.inlets) or "none"
            raise UsageError(
                f"the network was given the conditions {', '.join(given) or 'none'} and was built "
                f"for {has}"
            )
        routed = Routed()
        for name, values in given.items():
            spec, part = self.inlets[name], self.parts[name]
            route = spec["route"]
            if route == "vector" and "classes" in spec:
                routed.vector = _sum(routed.vector, look_up(part, joined_parts(values)))
            elif route == "vector":
                routed.vector = _sum(routed.vector, part(joined_parts(values)))
            elif route == "concat":
                routed.concat.append(joined_parts(values))
            elif route == "residual":
                channels = F.pixel_unshuffle(joined_parts(values), self.patch)
                routed.residual = _sum(routed.residual, part(channels))
            else:
                tokens, weight, pooled = part(**values)
                routed.vector = _sum(routed.vector, pooled)
                if route == "tokens":
                    routed.tokens = _cat(routed.tokens, tokens)
                    routed.weight = _cat(routed.weight, weight)
                else:
                    routed.extra = _cat(routed.extra, tokens)
                    routed.extra_weight = _cat(routed.extra_weight, weight)
        return routed


class Words(nn.Module):
    """A prompt: token numbers with weights to tokens, weights and a vector."""

    def __init__(self, spec: Mapping[str, Any], emb: int, tokens: int):
        super().__init__()
        width, whole = widths_of(spec)
        self.reader = tower_of(spec)
        self.project = nn.Linear(width, tokens) if width != tokens else nn.Identity()
        self.pooled = nn.Linear(whole, emb)

    def forward(
        self, tokens: Tensor, weights: Tensor, offset: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, weights, vector; `offset` is added to the states, by who improves a null."""
        states, vector = self.reader.read(tokens, weights)
        states = states if offset is None else states + offset
        return self.project(states), weights, self.pooled(vector)


class Ready(nn.Module):
    """States made elsewhere: to tokens, weights and a vector."""

    def __init__(self, features: int, emb: int, tokens: int):
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.project = nn.Linear(features, tokens)
        self.pooled = nn.Linear(features, emb)

    def forward(
        self, states: Tensor, weights: Tensor, pooled: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, weights, vector."""
        x = self.norm(torch.cat([pooled[:, None], states], 1))
        return self.project(x[:, 1:]), weights, self.pooled(x[:, 0])


class Sized(nn.Module):
    """Numbers of pixels: waves of each, then a hidden layer, as the time is embedded."""

    def __init__(self, count: int, emb: int):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(count * WAVES, emb), nn.Linear(emb, emb)

    def forward(self, numbers: Tensor) -> Tensor:
        """The sum's share `(b, e)` of numbers `(b, count)`."""
        waves = sinusoid(numbers.flatten(), WAVES, 1.0, 10_000).reshape(len(numbers), -1)
        y: Tensor = self.linear_2(F.silu(self.linear_1(waves.to(self.linear_1.weight.dtype))))
        return y


def silenced(part: nn.Module) -> None:
    """Let what turns one condition into a vector give zeros; of an image it does so when new."""
    if isinstance(part, nn.Embedding):
        nn.init.zeros_(part.weight)
    elif isinstance(part, nn.Linear):
        zeroed(part)
    elif isinstance(part, Sized):
        zeroed(part.linear_2)


def first_classes(
    num_classes: int, inlets: Specs | None
) -> tuple[str, int, dict[str, dict[str, Any]]]:
    """The condition whose classes are the table `class_embedding`, as in diffusers.

    Args:
        num_classes: Short for a spec "label" of so many classes, before all others.
        inlets: Of all other conditions.

    Returns:
        Its name, the number of its classes, 0 if there is none, and the other inlets.
    """
    rest = {name: dict(spec) for name, spec in (inlets or {}).items()}
    if num_classes:
        return "label", num_classes, rest
    name = next((name for name, spec in rest.items() if "classes" in spec), "label")
    return name, rest.pop(name)["classes"] if name in rest else 0, rest


def silence(
    table: nn.Module | None, owner: str, intake: ConditionEmbedding, names: Collection[str]
) -> None:
    """See `Network.silence`; `table` are the classes of the condition `owner`."""
    others = [name for name in names if table is None or name != owner]
    if table is not None and owner in names:
        silenced(table)
    intake.silence(others)


def token_width(inlets: Specs) -> int:
    """Width of the tokens that a network attends to: that of its text, else 128."""
    return next((widths_of(i)[0] for i in inlets.values() if "vocabulary" in i), 128)


def _built(spec: Mapping[str, Any], emb: int, tokens: int, features: int, patch: int) -> nn.Module:
    route = spec["route"]
    if route == "vector" and "classes" in spec:
        return class_table(spec["classes"], emb) or nn.Identity()
    if route == "vector" and "sizes" in spec:
        return Sized(spec["sizes"], emb)
    if route == "vector":
        return nn.Linear(spec["features"], emb)
    if route == "concat":
        return nn.Identity()
    if route == "residual":
        return nn.Sequential(
            nn.Conv2d(spec["channels"] * patch**2, features, 3, padding=1),
            nn.SiLU(),
            zeroed(nn.Conv2d(features, features, 3, padding=1)),
        )
    if route in ("tokens", "extra"):
        if "vocabulary" in spec:
            return Words(spec, emb, tokens)
        return Ready(spec["features"], emb, tokens)
    raise UsageError(f"there is no route {route!r} into a network")


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


def _cat(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else torch.cat([a, b], dim=1)


def by_name(cond: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Name -> part -> tensor."""
    out: dict[str, dict[str, Tensor]] = {}
    for key, value in cond.items():
        name, _, part = key.partition(".")
        out.setdefault(name, {})[part] = value
    return out


def joined_parts(parts: Mapping[str, Tensor]) -> Tensor:
    """The parts side by side, in the order of the alphabet."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    return torch.cat([parts[name] for name in sorted(parts)], dim=1)
