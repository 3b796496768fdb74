"""How the conditions of a model enter a network of published form.

Such a network knows tokens, one vector of the prompt, numbers of pixels, one class, and more input
channels; see `demist.networks.conditioning` for what conditions are made of.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.conditioning import Specs, by_name, joined_parts
from demist.networks.layers import class_table, look_up
from demist.networks.text import tower_of, widths_of

_ROUTES = ("vector", "tokens", "concat")


@dataclass
class Told:
    """The conditions of one call, `(b, ...)` each; lists hold one tensor for each condition.

    Attributes:
        states: Tokens of all prompts, `(b, m, c)`.
        weight: How much each counts, `(b, m)`; None: all the same.
        pooled: Vectors of prompts.
        vectors: Other vectors, of the embedding's width.
        sizes: Numbers of pixels.
        beside: Further input channels.
    """

    states: Tensor
    weight: Tensor | None = None
    pooled: list[Tensor] = field(default_factory=list)
    vectors: list[Tensor] = field(default_factory=list)
    sizes: list[Tensor] = field(default_factory=list)
    beside: list[Tensor] = field(default_factory=list)


class Telling(nn.Module):
    """Reads prompts and sorts all conditions.

    Where no condition has tokens there is one learned token, which says nothing.

    Args:
        name: Of the network, for messages.
        inlets: Specs of the conditions, by name.
        emb: Width of vectors that are no prompt's.

    Raises:
        UsageError: A condition would enter where no published network takes one.
    """

    def __init__(self, name: str, inlets: Specs, emb: int):
        super().__init__()
        self.inlets = {key: dict(spec) for key, spec in inlets.items()}
        for key, spec in self.inlets.items():
            if spec["route"] not in _ROUTES:
                raise UsageError(
                    f"the condition {key} takes the route {spec['route']}, which the network "
                    f"{name} has not; give it the route concat or tokens, or use the network unet"
                )
        widths = [widths_of(spec)[0] for spec in self.inlets.values() if spec["route"] == "tokens"]
        self.width = max(widths, default=128)
        self.parts = nn.ModuleDict(
            {key: _made(spec, self.width, emb) for key, spec in self.inlets.items()}
        )
        self.nothing = None if widths else nn.Parameter(torch.randn(1, 1, self.width) / 2)

    @property
    def channels(self) -> int:
        """Input channels that the conditions bring."""
        return sum(s["channels"] for s in self.inlets.values() if s["route"] == "concat")

    def columns(self, state: int) -> dict[str, int]:
        """Whose the input channels are, `state` of them the state's; see `Network.columns`."""
        beside = {k: s["channels"] for k, s in self.inlets.items() if s["route"] == "concat"}
        return {"state": state, **beside}

    def require_no_words(self, names: Collection[str], network: str) -> None:
        """Raise UsageError if a prompt is among conditions that are added to what has learned."""
        for name in names:
            if self.inlets[name]["route"] == "tokens":
                raise UsageError(
                    f"the attention to words is everywhere in a network {network}, so {name} "
                    f"cannot be told to one that has learned without words; start from one with a "
                    f"prompt, or from a unet"
                )

    @property
    def pooled(self) -> int:
        """Numbers in the vectors of all prompts."""
        specs = [spec for spec in self.inlets.values() if spec["route"] == "tokens"]
        return sum(widths_of(spec)[1] for spec in specs)

    @property
    def sizes(self) -> int:
        """Numbers of pixels that are told."""
        return sum(spec.get("sizes", 0) for spec in self.inlets.values())

    @property
    def vectors(self) -> bool:
        """Whether there are vectors that are neither a prompt's nor numbers of pixels."""
        return any(s["route"] == "vector" and "sizes" not in s for s in self.inlets.values())

    def forward(self, cond: Mapping[str, Tensor], n: int) -> Told:
        """The conditions of `n` samples.

        Raises:
            UsageError: They are not those that the network was built for.
        """
        given = by_name(cond)
        if given.keys() != self.inlets.keys():
            raise UsageError(
                f"the network was given the conditions {', '.join(given) or 'none'} and was built "
                f"for {', '.join(self.inlets) or 'none'}"
            )
        # `list[Tensor]()` is a call that torch cannot compile.
        states: list[Tensor] = []
        weights: list[Tensor] = []
        told = Told(torch.empty(0))
        for name, spec in self.inlets.items():
            values, part = given[name], self.parts[name]
            if spec["route"] == "concat":
                told.beside.append(joined_parts(values))
            elif spec["route"] == "tokens":
                read, weight, pooled = part(**values)
                states.append(read)
                weights.append(weight)
                told.pooled.append(pooled)
            elif "sizes" in spec:
                told.sizes.append(joined_parts(values))
            elif isinstance(part, nn.Embedding):
                told.vectors.append(look_up(part, joined_parts(values)))
            elif isinstance(part, nn.Linear):
                told.vectors.append(part(joined_parts(values)))
        if self.nothing is not None:
            told.states = self.nothing.expand(n, -1, -1)
        else:
            told.states, told.weight = torch.cat(states, 1), torch.cat(weights, 1)
        return told


class Prompt(nn.Module):
    """Tokens of one prompt in the width of all, their weights, and its vector."""

    def __init__(self, spec: Mapping[str, Any], width: int):
        super().__init__()
        own, _ = widths_of(spec)
        self.reader = tower_of(spec) if "vocabulary" in spec else None
        self.project = nn.Linear(own, width) if own != width else nn.Identity()

    def forward(
        self,
        weights: Float[Tensor, "b m"],
        tokens: Tensor | None = None,
        states: Tensor | None = None,
        pooled: Tensor | None = None,
        offset: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """From token numbers, or from states and a vector made elsewhere.

        `offset` is added to the states that are read, by who improves a null.
        """
        if self.reader is not None and tokens is not None:
            states, pooled = self.reader.read(tokens, weights)
            states = states if offset is None else states + offset
        assert pooled is not None
        return self.project(states), weights, pooled


def _made(spec: Mapping[str, Any], width: int, emb: int) -> nn.Module:
    if spec["route"] == "tokens":
        return Prompt(spec, width)
    if "classes" in spec:
        return class_table(spec["classes"], emb) or nn.Identity()
    return nn.Linear(spec["features"], emb) if "features" in spec else nn.Identity()
