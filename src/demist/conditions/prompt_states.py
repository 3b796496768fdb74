"""A prompt read by the text encoders that a published model was trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demist.conditions.condition import Column, Condition, ReadImage, Reading
from demist.conditions.prompts import (
    Chunk,
    chunks_of,
    tell_brackets,
    weighted_text,
    without_breaks,
)
from demist.conditions.text import prompts_for
from demist.conditions.text_encoder import TextEncoder
from demist.errors import UsageError


@dataclass(frozen=True)
class PromptStates(Condition):
    """A prompt as one or several frozen encoders of a model's own folder read it.

    Prompts are padded to the length that the encoder knows, and the padding is attended to (unless
    `masked`): so these models were trained. Without a prompt they read the empty one. Weights and
    chunks of long prompts are those of `demist.conditions.prompts`; vectors for the whole are those
    of the first chunk.

    Attributes:
        encoders: Their tokens stand side by side.
        tokens: Whether these tokens are given; False: the vectors alone.
        layer: Whose states are taken: None for the last, after its norm; -2 for the one before.
        pooled: Which vectors are given, too: "", "last" for that of the last encoder, or "all".
        width: The tokens are widened to it with zeros; 0: they are not.
        long: A further encoder, whose tokens follow; None: zeros.
        long_length: How many tokens these are; 0: none follow.
        masked: Whether padding of the long encoder is hidden, from itself and from the network,
            which is given `mask`.
        lower: Whether prompts are read in lower case.
        zeros: Whether the null is zeros instead of the empty prompt.
        chunks: At least so many are read of each prompt, the last ones empty.
        drop: Probability of hiding the prompt while training.
        group: Conditions of one group are hidden together.
    """

    encoders: tuple[TextEncoder, ...]
    tokens: bool = True
    layer: int | None = None
    pooled: str = ""
    width: int = 0
    long: TextEncoder | None = None
    long_length: int = 0
    masked: bool = False
    lower: bool = False
    zeros: bool = False
    chunks: int = 1
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "text"
    short: ClassVar[str] = "prompt"
    usual: ClassVar[bool] = False

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "PromptStates":
        """Never: it belongs to a published model.

        Raises:
            UsageError: Always.
        """
        raise UsageError("prompt-states come with a published model; train with text")

    def encode(
        self, values: str | Sequence[str | None] | np.ndarray | None, n: int
    ) -> dict[str, Tensor]:
        """`states` `(n, L, D)`, `pooled` `(n, P)` and `mask` `(n, L)`, of one prompt or of `n`.

        Raises:
            UsageError: There are not `n` prompts, or one names a LoRA.
            MissingError: `transformers` or a folder is not there.
        """
        texts, times = prompts_for(values, n)
        room = self.holding(texts)
        rows = [_read(room, None if text is None else str(text)) for text in texts]
        return {part: torch.stack([row[part] for row in rows * times]) for part in rows[0]}

    def spec(self) -> dict[str, Any]:
        return {"route": "tokens", "features": _read(self, None)["states"].shape[-1]}

    def parse(self, text: str, read_image: ReadImage) -> str:
        _read(self, text)
        return text

    def values(self, column: Column) -> np.ndarray:
        return np.asarray(column.values)

    def tokens_of(self, text: str) -> list[tuple[int, ...]]:
        """The tokens of a prompt, of all chunks of each encoder in turn."""
        words = _words(self, text)
        rows = [chunk.ids for _, chunks in _chunks(self, words) for chunk in chunks]
        if self.long is not None:
            rows += [chunk.ids for chunk in chunks_of(self.long, words, not self.chunked)]
        return rows

    def readings(self, text: str) -> list[Reading]:
        words, found = _words(self, text), list[Reading]()
        if self.tokens:
            chunks = _chunks(self, words)[0][1]  # all encoders of tokens side by side cut alike
            plain = weighted_text(words if self.chunked else without_breaks(words))[0]
            found.append((plain, [span for chunk in chunks for span in chunk.spans]))
        if self.long is not None:
            whole = not self.chunked
            (chunk,) = chunks_of(self.long, words, whole)
            plain = weighted_text(without_breaks(words) if whole else words)[0]
            found.append((plain, list(chunk.spans)))
        elif self.long_length:
            found.append(("", [(0, 0)] * self.long_length))
        return found

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """The encoders."""
        return {encoder.name: encoder.model for encoder in self.readers}

    def to(self, device: torch.device, turns: bool = False) -> None:
        for encoder in self.readers:
            encoder.to(device, turns)

    @property
    def readers(self) -> tuple[TextEncoder, ...]:
        """All encoders, the long one last."""
        return (*self.encoders, *([self.long] if self.long else []))

    @property
    def chunked(self) -> bool:
        """Whether a long prompt is read in chunks; else a long encoder reads on, or none does."""
        return self.tokens and self.long is None

    def holding(self, values: Any) -> "PromptStates":
        """This condition with as many chunks as the longest of some prompts needs."""
        if not self.chunked:
            return self
        texts = [values] if values is None or isinstance(values, str) else list(values)
        counts = [
            len(chunks)
            for text in dict.fromkeys(str(text) for text in texts if text)
            for _, chunks in _chunks(self, _words(self, text))
        ]
        most = max(counts, default=self.chunks)
        return replace(self, chunks=most) if most > self.chunks else self

    def read_by(self, readers: Mapping[str, TextEncoder]) -> "PromptStates":
        """This condition with other encoders in the place of those of the same names."""
        encoders = tuple(readers.get(e.name, e) for e in self.encoders)
        long = self.long and readers.get(self.long.name, self.long)
        return replace(self, encoders=encoders, long=long)


@lru_cache(maxsize=256)
def _read(condition: PromptStates, text: str | None) -> dict[str, Tensor]:
    """The encoding of one prompt; prompts come up again and again."""
    words, whole = _words(condition, text), not condition.chunked
    states, pooled, rows = [], [], []
    for encoder, chunks in _chunks(condition, words):
        found = {chunk: _encoded(encoder, chunk) for chunk in dict.fromkeys(chunks)}
        layer, first = condition.layer, found[chunks[0]]
        pooled.append(first.text_embeds if hasattr(first, "text_embeds") else first.pooler_output)
        read = [
            chunk.weighted((x.last_hidden_state if layer is None else x.hidden_states[layer])[0])
            for chunk in chunks
            for x in (found[chunk],)
        ]
        states.append(torch.cat(read))
    if condition.tokens:
        tokens = torch.cat(states, dim=-1).float()
        rows.append(F.pad(tokens, (0, max(0, condition.width - tokens.shape[-1]))))
    parts = {}
    if condition.long is not None:
        (chunk,) = chunks_of(condition.long, words, whole)
        read_long = _encoded(condition.long, chunk, condition.masked)
        rows.append(chunk.weighted(read_long.last_hidden_state[0].float()))
        if condition.masked:
            parts["mask"] = chunk.mask.float()
    elif condition.long_length:
        rows.append(torch.zeros(condition.long_length, rows[0].shape[-1]))
    parts["states"] = torch.cat(rows)
    if condition.pooled:
        vectors = pooled if condition.pooled == "all" else pooled[-1:]
        parts["pooled"] = torch.cat([vector[0] for vector in vectors]).float()
    if text is None and condition.zeros:
        parts = {name: torch.zeros_like(value) for name, value in parts.items()}
    return parts


def _words(condition: PromptStates, text: str | None) -> str:
    """The prompt as it is read.

    Raises:
        UsageError: It names a LoRA, which no condition can add to the model.
    """
    words = text or ""
    if "<lora:" in words:
        raise UsageError(
            f"{words[words.index('<lora:') :][:40]!r} in a prompt asks for another model: use "
            f"--lora FILE:0.8, or pipeline.with_lora(file, 0.8), and leave it out of the prompt"
        )
    tell_brackets(words)
    return words.lower().strip() if condition.lower else words


def _chunks(condition: PromptStates, words: str) -> list[tuple[TextEncoder, list[Chunk]]]:
    """What each encoder reads: as many chunks as any of them needs, the last ones empty."""
    found = [(e, chunks_of(e, words, not condition.chunked)) for e in condition.encoders]
    count = max([condition.chunks, *(len(chunks) for _, chunks in found)])
    return [(e, chunks + chunks_of(e, "") * (count - len(chunks))) for e, chunks in found]


def _encoded(encoder: TextEncoder, chunk: Chunk, masked: bool = False) -> Any:
    """What an encoder makes of a chunk.

    Args:
        encoder: It.
        chunk: What it reads.
        masked: Whether padding is hidden from the encoder.
    """
    return encoder.run(torch.tensor([chunk.ids]), chunk.mask[None] if masked else None)
