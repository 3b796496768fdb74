"""Tokens made elsewhere: by a frozen text encoder, or by anything that turns things into vectors.

Encoded as `states` `(n, L, D)`; `weights` `(n, L)`, how much a token counts in attention, 0 for
padding (see `demist.conditions.text`); and `pooled` `(n, D)`, a vector for the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage, Reading
from demist.conditions.readers import OfTransformers, OwnClip, Reader, is_own, opened
from demist.conditions.rewriting import require_rewriting
from demist.conditions.text import prompts_for, split_weights
from demist.errors import MissingError, UsageError

TokenRoute = Literal["tokens", "extra"]


@dataclass(frozen=True)
class States(Condition):
    """Token states that the caller computes, such as embeddings of an image.

    Attributes:
        tokens: L, how many.
        features: D, numbers per token.
        route: `tokens`, or `extra` for attention of its own.
        drop: Probability of hiding them while training.
        group: Conditions of one group are hidden together.
    """

    tokens: int
    features: int
    route: TokenRoute = "tokens"
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = "states"
    reads: ClassVar[str] = "states"

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "States":
        tokens, features = column.values.shape[1:]
        return cls(tokens, features, drop=drop)

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """From `(n, L, D)` states, or `(L, D)` for all samples; None says nothing.

        The pooled vector is their mean. Nothing said is one token of zeros.
        """
        if values is None:
            x, weights = torch.zeros(n, self.tokens, self.features), torch.zeros(n, self.tokens)
            weights[:, 0] = 1
            return {"states": x, "weights": weights, "pooled": x[:, 0]}
        x = torch.as_tensor(np.asarray(values)).float()
        x = x.expand(n, *x.shape) if x.ndim == 2 else x
        if x.shape != (n, self.tokens, self.features):
            raise UsageError(
                f"states of shape {tuple(x.shape)} for {n} samples; this condition takes "
                f"({self.tokens}, {self.features}), one for all or {n} of them"
            )
        return {"states": x, "weights": torch.ones(n, self.tokens), "pooled": x.mean(1)}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": self.features}

    def parse(self, text: str, read_image: ReadImage) -> np.ndarray:
        """The states in a file `.npy`."""
        try:
            found = np.load(text)
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot read states from {text!r}, a file .npy: {error}") from None
        self.encode(found, 1 if found.ndim < 3 else len(found))
        return np.asarray(found)

    def words(self, value: Any) -> str:
        return ""


@dataclass(frozen=True)
class FrozenText(Condition):
    """A prompt read by a pretrained encoder that stays as it is.

    It may be CLIP, T5 or any sentence encoder of transformers, or a CLIP that was trained here. Its
    folder is copied into the saved model unless it is large; see `demist.model.encoders`.

    Attributes:
        folder: With the encoder and its tokenizer, as `transformers` saves them, or a CLIP trained
            here. Nothing is downloaded.
        length: Tokens per prompt, special ones included.
        features: Numbers per token, the encoder's hidden size.
        route: `tokens`, or `extra` for attention of its own.
        drop: Probability of hiding the prompt while training.
        group: Conditions of one group are hidden together.
        rewrite: Name of a rewriting of prompts when sampling, or ""; see `conditions.rewriting`.
    """

    folder: str
    length: int
    features: int
    route: TokenRoute = "tokens"
    drop: float = 0.1
    group: str = ""
    rewrite: str = ""

    name: ClassVar[str] = "frozen-text"
    reads: ClassVar[str] = "text"
    short: ClassVar[str] = "prompt"
    usual: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_rewriting(self.rewrite)

    @classmethod
    def of(
        cls,
        column: Column,
        shape: tuple[int, ...],
        drop: float,
        encoder: str = "",
        length: int = 64,
        rewrite: str = "",
    ) -> "FrozenText":
        """With the encoder in the folder `encoder`, which knows how many numbers a token has.

        Prompts are as long as it reads, at most `length` tokens.

        Raises:
            MissingError: `transformers` or the folder is not there.
        """
        made = cls(str(Path(encoder).resolve()), length, 0, drop=drop, rewrite=rewrite)
        reader = made.reader
        longest = length if reader.longest is None else min(length, reader.longest)
        return replace(made, length=longest, features=reader.features)

    def encode(
        self, values: str | Sequence[str | None] | np.ndarray | None, n: int
    ) -> dict[str, Tensor]:
        """States, weights and pooled vector of one prompt for all, or of `n`.

        Raises:
            UsageError: A prompt is too long.
            MissingError: `transformers` or the folder is not there.
        """
        texts, times = prompts_for(values, n)
        read = [_read(self, str(text or "")) for text in texts] * times
        return {part: torch.stack([row[part] for row in read]) for part in read[0]}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "features": self.features}

    @property
    def saved_folders(self) -> tuple[str, ...]:
        return (self.folder,)

    def parse(self, text: str, read_image: ReadImage) -> str:
        _read(self, text)
        return text

    def readings(self, text: str) -> list[Reading]:
        plain, _ = split_weights(text)
        spans = self.reader.offsets(plain)
        return [(plain, spans + [(0, 0)] * (self.length - len(spans)))]

    def values(self, column: Column) -> np.ndarray:
        return np.array([self.cut(text) for text in column.values])

    def cut(self, text: str) -> str:
        """The beginning of `text` that fits, for captions that are too long to learn from."""
        plain, _ = split_weights(text)
        offsets = self.reader.offsets(plain)
        over = len(offsets) - self.length
        words = [(a, b) for a, b in offsets if b > a]
        if over <= 0:
            return text
        return plain[: words[-over - 1][1]] if over < len(words) else ""

    @cached_property
    def reader(self) -> Reader:
        """The encoder with its tokenizer, opened when it is first needed."""
        if is_own(Path(self.folder)):
            return OwnClip(Path(self.folder))
        library = transformers_for(self.folder)
        found: Reader = opened(lambda: OfTransformers(self.folder, library), self.folder)
        return found


def transformers_for(folder: str | None) -> Any:
    """The `transformers` library, imported when an encoder is first needed.

    Args:
        folder: That of the encoder, if it is in one.

    Raises:
        MissingError: There is no such folder, or the library is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingError(
            "a pretrained text encoder needs the package transformers: "
            "pip install 'demist[encoders]'"
        ) from None
    if folder is not None and not Path(folder).is_dir():
        raise MissingError(f"there is no folder {folder} with a text encoder")
    transformers.utils.logging.disable_progress_bar()
    return transformers


@lru_cache(maxsize=4096)
def _read(condition: FrozenText, text: str) -> dict[str, Tensor]:
    """The encoding of one prompt; captions come up again and again."""
    reader = condition.reader
    plain, at = split_weights(text)
    offsets = reader.offsets(plain)
    if len(offsets) > condition.length:
        end = offsets[condition.length - 1][0]
        raise UsageError(
            f"the prompt has {len(offsets)} tokens and this model reads {condition.length}; leave "
            f"out {plain[end:].strip()!r} or as much elsewhere"
        )
    states, pooled = reader.run(plain)
    weights = torch.tensor([at[a] if b > a else 1.0 for a, b in offsets])
    mean = (states * weights[:, None]).sum(0) / weights.sum()
    room = condition.length - len(states)
    return {
        "states": torch.cat([states, torch.zeros(room, states.shape[1])]),
        "weights": torch.cat([weights, torch.zeros(room)]),
        "pooled": mean if pooled is None else pooled,
    }
