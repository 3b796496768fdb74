"""A model one of whose components comes from elsewhere, such as a smaller autoencoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.conditions import TextEncoder
from demist.errors import MissingError, UsageError
from demist.interop.source import AUTOENCODERS, FolderSource, Source


@dataclass(frozen=True, eq=False)
class Replaced(Source):
    """A source, and another one that has a component in place of its own.

    Attributes:
        inner: The model.
        name: Of the component.
        other: Where it comes from.
        theirs: Its name there; "" where that is nothing but it.
    """

    inner: Source
    name: str
    other: Source
    theirs: str

    def __post_init__(self) -> None:
        kind = self.other.config(self.theirs).get("_class_name")
        object.__setattr__(self, "place", self.inner.place)
        object.__setattr__(self, "dtype", self.inner.dtype)
        object.__setattr__(self, "index", {**self.inner.index, self.name: ["diffusers", kind]})

    def has(self, name: str) -> bool:
        return name == self.name or self.inner.has(name)

    def config(self, name: str) -> dict[str, Any]:
        return self.other.config(self.theirs) if name == self.name else self.inner.config(name)

    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        return self.inner.scheduler(name)

    def weights(self, name: str) -> Mapping[str, Tensor]:
        return self.other.weights(self.theirs) if name == self.name else self.inner.weights(name)

    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        return self.inner.text_encoder(encoder, tokenizer, length)

    def where(self, name: str) -> str:
        """A component, for messages."""
        return self.other.where(self.theirs) if name == self.name else self.inner.where(name)


def with_codec(source: Source, folder: Path) -> Source:
    """A model with the autoencoder of a folder: one that is alone there, or a whole model's.

    Raises:
        MissingError: There is none.
        UsageError: The model makes its images without one.
    """
    name = next((name for name in AUTOENCODERS if source.has(name)), source.lacks)
    if not name:
        raise UsageError(f"{source.place} makes images without an autoencoder; leave out {folder}")
    other, theirs = autoencoder_in(folder, source.dtype_of(name))
    return Replaced(source, name, other, theirs)


def autoencoder_in(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Source, str]:
    """A folder as a source, and the name of the autoencoder in it; "" where it is alone there.

    Raises:
        MissingError: There is none.
    """
    other = FolderSource.open(folder, dtype)
    for theirs in ("", *AUTOENCODERS):
        if (folder / theirs / "config.json").is_file():
            return other, theirs
    raise MissingError(
        f"{folder} holds no autoencoder: a folder with its config.json and .safetensors, or a "
        f"model with one"
    )
