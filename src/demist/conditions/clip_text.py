"""A prompt in CLIP's form: token numbers for text towers that are trained along.

Unlike those of `demist.conditions.text`, prompts are padded with their end mark to one length, and
padding counts in attention: so models that read CLIP were trained, and diffusers samples them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from demist.conditions.clip_words import LEAST, learn_pairs, tokenizer
from demist.conditions.condition import Column, Condition, ReadImage, Reading
from demist.conditions.rewriting import require_rewriting
from demist.conditions.text import prompts_for, split_weights
from demist.errors import UsageError


@dataclass(frozen=True)
class ClipText(Condition):
    """A prompt, read inside the network by a tower in the form of CLIP's, or by two.

    Attributes:
        pairs: Pairs of tokens that make up the vocabulary; see `demist.conditions.clip_words`.
        length: Tokens per prompt, the marks of begin and end included.
        width: Of each tower.
        depth: Layers of each.
        drop: Probability of hiding the prompt while training.
        group: Conditions of one group are hidden together.
        tower: `clip`, or `clip+own` for a second one beside it; see `networks.text`.
        rewrite: Name of a rewriting of prompts when sampling, or ""; see `conditions.rewriting`.
    """

    pairs: tuple[str, ...]
    length: int
    width: int = 128
    depth: int = 2
    drop: float = 0.1
    group: str = ""
    tower: Literal["clip", "clip+own"] = "clip"
    rewrite: str = ""
    route: ClassVar[str] = "tokens"
    name: ClassVar[str] = "clip-text"
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
        length: int = 64,
        vocabulary: int = 2000,
        width: int = 128,
        depth: int = 2,
        tower: Literal["clip", "clip+own"] = "clip",
        rewrite: str = "",
    ) -> "ClipText":
        """With a vocabulary of its own, as long as the longest text, at most `length` tokens."""
        pairs = learn_pairs(column.values, vocabulary)
        text = cls(pairs, 3, width, depth, drop, tower=tower, rewrite=rewrite)
        longest = max(len(text.read(caption)[0]) for caption in column.values)
        return replace(text, length=max(3, min(length, longest)))

    def encode(
        self, values: str | Sequence[str | None] | np.ndarray | None, n: int
    ) -> dict[str, Tensor]:
        """`tokens` and `weights`, `(n, L)`, of one prompt for all samples, or of `n` prompts.

        Raises:
            UsageError: A prompt is too long, or there are not `n` of them.
        """
        texts, times = prompts_for(values, n)
        rows = [self._row(str(text or "")) for text in texts] * times
        return {
            "tokens": torch.tensor([ids for ids, _ in rows]),
            "weights": torch.tensor([weights for _, weights in rows]),
        }

    def spec(self) -> dict[str, Any]:
        return {
            "route": self.route,
            "tower": self.tower,
            "vocabulary": LEAST + len(self.pairs),
            "length": self.length,
            "width": self.width,
            "depth": self.depth,
        }

    def parse(self, text: str, read_image: ReadImage) -> str:
        self._row(text)
        return text

    def readings(self, text: str) -> list[Reading]:
        plain, _ = split_weights(text)
        spans = [(a, b) for a, b in tokenizer(self.pairs).encode(plain).offsets]
        return [(plain, spans + [(0, 0)] * (self.length - len(spans)))]

    def values(self, column: Column) -> np.ndarray:
        return np.array([self.cut(text) for text in column.values])

    def cut(self, text: str) -> str:
        """The beginning of `text` that fits, for captions that are too long to learn from."""
        plain, _ = split_weights(text)
        offsets = tokenizer(self.pairs).encode(plain).offsets
        fits = self.length - 2
        return text if len(offsets) - 2 <= fits else plain[: offsets[fits][1]]

    def read(self, text: str) -> tuple[list[int], list[float]]:
        """Tokens of a prompt of any length, marks included, and their weights."""
        plain, at = split_weights(text)
        found = tokenizer(self.pairs).encode(plain)
        return found.ids, [at[begin] if end > begin else 1.0 for begin, end in found.offsets]

    def _row(self, text: str) -> tuple[list[int], list[float]]:
        ids, weights = self.read(text)
        room = self.length - len(ids)
        if room < 0:
            plain, _ = split_weights(text)
            end = tokenizer(self.pairs).encode(plain).offsets[self.length - 2][1]
            raise UsageError(
                f"the prompt has {len(ids)} tokens, marks of begin and end included, and this "
                f"model reads {self.length}; leave out {plain[end:].strip()!r} or as much elsewhere"
            )
        return ids + ids[-1:] * room, weights + [1.0] * room
