"""A model of another maker whose denoising network has other weights, perhaps more inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import Tensor

from demist.conditions import TextEncoder
from demist.interop.source import Source
from demist.networks.published import Published

OWN = "_demist"
"""Key of an index (diffusers passes over it): what a model that went on learning here says of
itself, `facts` and `defaults` among it."""


@dataclass(frozen=True, eq=False)
class Relearned(Source):
    """A source whose denoising network is another; the rest is that of the source.

    Attributes:
        inner: The source.
        kind: The class of its pipeline now.
        tensors: Of the network, all of them.
        settings: What the configuration of the network says otherwise: `in_channels`,
            `sample_size`.
        own: See `OWN`; None: as the source says.
    """

    inner: Source
    kind: str
    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    own: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", self.inner.place)
        object.__setattr__(self, "dtype", self.inner.dtype)
        told = {} if self.own is None else {OWN: dict(self.own)}
        index = {**self.inner.index, "_class_name": self.kind, **told}
        object.__setattr__(self, "index", index)

    def has(self, name: str) -> bool:
        return self.inner.has(name)

    def config(self, name: str) -> dict[str, Any]:
        found = self.inner.config(name)
        return {**found, **self.settings} if name == self.denoising else found

    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        return self.inner.scheduler(name)

    def weights(self, name: str) -> Mapping[str, Tensor]:
        return self.tensors if name == self.denoising else self.inner.weights(name)

    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        return self.inner.text_encoder(encoder, tokenizer, length)

    def where(self, name: str) -> str:
        """A component, for messages."""
        return self.inner.where(name)


@dataclass(frozen=True, eq=False)
class Outline(Source):
    """A source whose networks have no weights: what it would be, from its configurations alone.

    Attributes:
        inner: The source.
    """

    inner: Source

    def __post_init__(self) -> None:
        for name in ("place", "dtype", "index"):
            object.__setattr__(self, name, getattr(self.inner, name))

    def has(self, name: str) -> bool:
        return self.inner.has(name)

    def config(self, name: str) -> dict[str, Any]:
        return self.inner.config(name)

    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        return self.inner.scheduler(name)

    def weights(self, name: str) -> Mapping[str, Tensor]:
        return self.outlined(name).state_dict()

    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        return self.inner.text_encoder(encoder, tokenizer, length)

    def network(self, name: str) -> Published:
        """A network without its weights."""
        return self.outlined(name).eval().requires_grad_(False)
