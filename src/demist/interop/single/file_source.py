"""A model in a single file, with parts of it in further files: a source like a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from demist.conditions.text_encoder import TextEncoder, from_folder
from demist.errors import MissingError
from demist.formats import Kind
from demist.interop.single import encoders, vocabulary
from demist.interop.single.held import Held
from demist.interop.source import FolderSource, Source


@dataclass(frozen=True, eq=False)
class FileSource(Source):
    """A model in one file, or in parts.

    Attributes:
        place: The file of its network.
        index: As `model_index.json` would say.
        kind: What it is.
        held: Component -> where it is: a part of a file, or a folder of diffusers or transformers.
        schedules: Name of a scheduler -> its configuration.
        words: Tokenizer -> what the file says of it: its JSON, or its padding.
        dtype: Of the weights.
    """

    place: Path
    index: Mapping[str, Any]
    kind: Kind
    held: Mapping[str, Held | Path]
    schedules: Mapping[str, Mapping[str, Any]]
    words: Mapping[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32

    lacks: ClassVar[str] = "vae"
    remedy: ClassVar[str] = (
        "; give the file or folder that holds it: --part NAME=PATH (vae=..., text=..., "
        "tokenizer_2=FOLDER)"
    )

    def has(self, name: str) -> bool:
        listed = self.index.get(name)
        return isinstance(listed, list) and listed[0] is not None

    def where(self, name: str) -> str:
        held = self.held.get(name, self.place)
        return str(held) if isinstance(held, Path) else held.where

    def config(self, name: str) -> dict[str, Any]:
        held = self._held(name)
        if isinstance(held, Path):
            return FolderSource.open(held).config("")
        return dict(held.config)

    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        if name not in self.schedules:
            raise MissingError(f"{self.place} has no {name!r}")
        return dict(self.schedules[name])

    def weights(self, name: str) -> Mapping[str, Tensor]:
        held = self._held(name)
        if isinstance(held, Path):
            return FolderSource.open(held, self.dtype_of(name)).weights("")
        return held.tensors(self.dtype_of(name))

    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        """Its CLIP tokenizer is the one that comes with this package, unless another is given."""
        held, words = self._held(encoder), self.held.get(tokenizer)
        # `from_folder` takes both from one folder; here each may come from somewhere else.
        apart = [
            from_folder(path.parent, path.name, path.name, length, self.dtype_of(encoder))
            if isinstance(path, Path)
            else None
            for path in (held, words)
        ]

        def open_model() -> nn.Module:
            if apart[0] is not None:
                found: nn.Module = apart[0].model
                return found
            assert isinstance(held, Held)
            tensors = held.tensors(self.dtype_of(encoder))
            if held.part.style in ("t5", "llama"):
                return encoders.t5_encoder(held.config, tensors, held.where)
            return encoders.clip_encoder(held.config, held.projected, tensors, held.where)

        def open_tokenizer() -> Any:
            if apart[1] is not None:
                return apart[1].tokenizer
            said = self.words.get(tokenizer)
            if isinstance(said, dict) and isinstance(said.get("json"), str):
                return vocabulary.tokenizer_of(said, self.where(encoder))
            return vocabulary.clip_tokenizer(self.where(encoder), self._pad(encoder, said))

        return TextEncoder(encoder, self.where(encoder), open_model, open_tokenizer, length)

    def _pad(self, encoder: str, said: Any) -> str:
        """What short prompts are filled with: OpenCLIP was trained with number 0, which is "!"."""
        if isinstance(said, dict) and isinstance(said.get("pad_token"), str):
            return str(said["pad_token"])
        held = self.held[encoder]
        config = held.config if isinstance(held, Held) else {}
        return "<|endoftext|>" if config.get("hidden_act") == "quick_gelu" else "!"

    def _held(self, name: str) -> Held | Path:
        if name not in self.held:
            raise MissingError(f"{self.place} has no {name!r}{self.remedy}")
        return self.held[name]
