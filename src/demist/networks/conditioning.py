"""Where conditions enter a network, by route.

A network is built from the inlets of its conditions, which are plain JSON:

| route | inlet | encoding | what becomes of it |
|---|---|---|---|
| vector | features | `(b, D)` | added to the embedding of the time |
| tokens | features | `(b, 1 + m, D + 1)` | row 0 to the embedding, the rest to attention |
| tokens | vocabulary, length, width, depth | `(b, m, 2)` | read by a `TextTransformer` |
| extra | features | as tokens | attention of its own |
| concat | channels | `(b, C, h, w)` | more input channels |
| residual | channels | `(b, C, h, w)` | added to the first feature map |

Every branch that adds to the main path starts at zero, except the vectors of the embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.layers import zeroed
from demist.networks.text import TextTransformer

Specs = Mapping[str, Mapping[str, Any]]


@dataclass
class Routed:
    """What a network was told, sorted by route; tensors `(b, ...)` or None.

    Attributes:
        vector: To add to the embedding.
        tokens: For cross- or joint attention, `(b, m, c)`.
        weight: How much each token counts, `(b, m)`.
        extra: Tokens with attention of their own.
        extra_weight: How much each of these counts.
        concat: Input channels.
        residual: To add to the first feature map.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    weight: Tensor | None = None
    extra: Tensor | None = None
    extra_weight: Tensor | None = None
    concat: Tensor | None = None
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
        self.inlets, self.patch = {name: dict(inlet) for name, inlet in inlets.items()}, patch
        self.parts = nn.ModuleDict()
        for name, inlet in self.inlets.items():
            self.parts[name] = _built(inlet, emb, tokens, features, patch)

    @property
    def concat_channels(self) -> int:
        """How many input channels the conditions bring."""
        return sum(i["channels"] for i in self.inlets.values() if i["route"] == "concat")

    def has(self, route: str) -> bool:
        """Whether some condition takes this route."""
        return any(inlet["route"] == route for inlet in self.inlets.values())

    def forward(self, cond: Mapping[str, Tensor]) -> Routed:
        """Sort and embed the conditions.

        Raises:
            UsageError: They are not those that the network was built for.
        """
        if cond.keys() != self.inlets.keys():
            has = ", ".join(self.inlets) or "none"
            raise UsageError(
                f"the network was given the conditions {', '.join(cond) or 'none'} and was built "
                f"for {has}"
            )
        told = Routed()
        for name, value in cond.items():
            inlet, part = self.inlets[name], self.parts[name]
            route = inlet["route"]
            if route == "vector":
                told.vector = _sum(told.vector, part(value))
            elif route == "concat":
                told.concat = _cat(told.concat, value)
            elif route == "residual":
                told.residual = _sum(told.residual, part(F.pixel_unshuffle(value, self.patch)))
            else:
                tokens, weight, pooled = part(value)
                told.vector = _sum(told.vector, pooled)
                if route == "tokens":
                    told.tokens = _cat(told.tokens, tokens)
                    told.weight = _cat(told.weight, weight)
                else:
                    told.extra = _cat(told.extra, tokens)
                    told.extra_weight = _cat(told.extra_weight, weight)
        return told


class Words(nn.Module):
    """A prompt: token numbers with weights to tokens, weights and a vector."""

    def __init__(self, inlet: Mapping[str, Any], emb: int, tokens: int):
        super().__init__()
        width = inlet["width"]
        self.reader = TextTransformer(inlet["vocabulary"], inlet["length"], width, inlet["depth"])
        self.project = nn.Linear(width, tokens) if width != tokens else nn.Identity()
        self.pooled = nn.Linear(width, emb)

    def forward(self, said: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, weights, vector."""
        states = self.reader(said)
        return self.project(states), said[..., 1], self.pooled(states[:, 0])


class Ready(nn.Module):
    """States made elsewhere: to tokens, weights and a vector."""

    def __init__(self, features: int, emb: int, tokens: int):
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.project = nn.Linear(features, tokens)
        self.pooled = nn.Linear(features, emb)

    def forward(self, said: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, weights, vector."""
        states = self.norm(said[..., :-1])
        return self.project(states[:, 1:]), said[:, 1:, -1], self.pooled(states[:, 0])


def token_width(inlets: Specs) -> int:
    """Width of the tokens that a network attends to: that of its text, else 128."""
    return next((i["width"] for i in inlets.values() if "width" in i), 128)


def _built(inlet: Mapping[str, Any], emb: int, tokens: int, features: int, patch: int) -> nn.Module:
    route = inlet["route"]
    if route == "vector":
        return nn.Linear(inlet["features"], emb)
    if route == "concat":
        return nn.Identity()
    if route == "residual":
        return nn.Sequential(
            nn.Conv2d(inlet["channels"] * patch**2, features, 3, padding=1),
            nn.SiLU(),
            zeroed(nn.Conv2d(features, features, 3, padding=1)),
        )
    if route in ("tokens", "extra"):
        if "vocabulary" in inlet:
            return Words(inlet, emb, tokens)
        return Ready(inlet["features"], emb, tokens)
    raise UsageError(f"there is no route {route!r} into a network")


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


def _cat(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else torch.cat([a, b], dim=1)
