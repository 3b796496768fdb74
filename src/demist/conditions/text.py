"""Text that the model learns to read itself: a tokenizer here, a small transformer in the network.

A prompt becomes token numbers with weights. The first token stands for the whole; the
empty prompt is that token alone, and is the null. A weight is how much a token counts in attention:
2 as if it stood there twice, 0 as if it were not there, which is what padding has, so weights are
the mask as well. In a prompt, `(word:1.3)` gives a word or phrase another weight than 1.
"""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from demist.conditions.condition import Column, Condition, ReadImage, Reading
from demist.conditions.rewriting import require_rewriting
from demist.errors import MissingError, UsageError

if TYPE_CHECKING:
    import tokenizers

PAD, UNKNOWN, WHOLE = SPECIAL = ["[PAD]", "[UNK]", "[ALL]"]
_WEIGHTED = re.compile(r"\(([^():]+):(\d+(?:\.\d+)?)\)")


@dataclass(frozen=True)
class Text(Condition):
    """A prompt, read by a transformer inside the network.

    Attributes:
        tokenizer: The vocabulary, as JSON of the `tokenizers` library; `learn_tokenizer` makes one.
        length: Tokens per prompt, the one for the whole included.
        width: Of the transformer.
        depth: Its layers.
        drop: Probability of hiding the prompt while training.
        group: Conditions of one group are hidden together.
        rewrite: Name of a rewriting of prompts when sampling, or ""; see `conditions.rewriting`.
    """

    tokenizer: str
    length: int
    width: int = 128
    depth: int = 2
    drop: float = 0.1
    group: str = ""
    rewrite: str = ""
    route: ClassVar[str] = "tokens"
    name: ClassVar[str] = "text"
    reads: ClassVar[str] = "text"
    short: ClassVar[str] = "prompt"

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
        rewrite: str = "",
    ) -> "Text":
        """With a vocabulary of its own, as long as the longest text, at most `length` tokens."""
        learned = learn_tokenizer(column.values, vocabulary)
        text = cls(learned, 2, width, depth, drop, rewrite=rewrite)
        length = min(length, 1 + max(text.count(caption) for caption in column.values))
        return replace(text, length=max(2, length))

    def encode(
        self, values: str | Sequence[str | None] | np.ndarray | None, n: int
    ) -> dict[str, Tensor]:
        """`tokens` and `weights`, `(n, L)`, of one prompt for all samples, or of `n` prompts.

        Raises:
            UsageError: A prompt is too long, or has words that the vocabulary lacks.
        """
        texts, times = prompts_for(values, n)
        read = [self._tokens(str(text or "")) for text in texts]
        rooms = [self.length - len(ids) for ids, _ in read]
        pad = SPECIAL.index(PAD)
        tokens = torch.tensor([i + [pad] * room for (i, _), room in zip(read, rooms, strict=True)])
        weights = torch.tensor([w + [0.0] * room for (_, w), room in zip(read, rooms, strict=True)])
        return {"tokens": tokens.repeat(times, 1), "weights": weights.repeat(times, 1)}

    def spec(self) -> dict[str, Any]:
        return {
            "route": self.route,
            "vocabulary": self._tokenizer.get_vocab_size(),
            "length": self.length,
            "width": self.width,
            "depth": self.depth,
        }

    def parse(self, text: str, read_image: ReadImage) -> str:
        self._tokens(text)
        return text

    def readings(self, text: str) -> list[Reading]:
        ids, _ = self._tokens(text)
        plain, _ = split_weights(text)
        spans = [(0, 0), *((a, b) for a, b in self._tokenizer.encode(plain).offsets)]
        return [(plain, spans + [(0, 0)] * (self.length - len(ids)))]

    def values(self, column: Column) -> np.ndarray:
        return np.array([self.cut(text) for text in column.values])

    def count(self, text: str) -> int:
        """Tokens of `text`, without the one for the whole."""
        return len(self._tokenizer.encode(split_weights(text)[0]).ids)

    def cut(self, text: str) -> str:
        """The beginning of `text` that fits, for captions that are too long to learn from."""
        plain, _ = split_weights(text)
        offsets = self._tokenizer.encode(plain).offsets
        fits = self.length - 1
        return text if len(offsets) <= fits else plain[: offsets[fits - 1][1]]

    @cached_property
    def _tokenizer(self) -> "tokenizers.Tokenizer":
        made: tokenizers.Tokenizer = library().Tokenizer.from_str(self.tokenizer)
        return made

    def _tokens(self, text: str) -> tuple[list[int], list[float]]:
        plain, at = split_weights(text)
        found = self._tokenizer.encode(plain)
        if SPECIAL.index(UNKNOWN) in found.ids:
            self._refuse(plain, found)
        if len(found.ids) >= self.length:
            end = found.offsets[self.length - 2][1]
            raise UsageError(
                f"the prompt has {len(found.ids)} tokens and this model reads "
                f"{self.length - 1}; leave out {plain[end:].strip()!r} or as much elsewhere"
            )
        weights = [at[begin] for begin, _ in found.offsets]
        return [SPECIAL.index(WHOLE), *found.ids], [1.0, *weights]

    def _refuse(self, plain: str, found: Any) -> None:
        spans = zip(found.ids, found.offsets, strict=True)
        words = [plain[a:b] for token, (a, b) in spans if token == SPECIAL.index(UNKNOWN)]
        known = sorted(w for w in self._tokenizer.get_vocab() if w not in SPECIAL)
        near = difflib.get_close_matches(words[0].lower(), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        shown = ", ".join(known[:60]) + (f", ... ({len(known)} in all)" if known[60:] else "")
        raise UsageError(
            f"this model never read {', '.join(map(repr, words))}{hint} It knows: {shown}"
        )


def prompts_for(values: Any, n: int) -> tuple[list[Any], int]:
    """The prompts that were given, and how often each is wanted: one for all `n` samples, or `n`.

    Args:
        values: One prompt or None for all, or one of these for each.
        n: Number of samples.

    Raises:
        UsageError: There are not `n` of them.
    """
    if values is None or isinstance(values, str):
        return [values], n
    texts = list(values)
    if len(texts) != n:
        raise UsageError(
            f"got {len(texts)} prompts for {n} samples; give one for all, or {n} of them"
        )
    return texts, 1


def split_weights(text: str) -> tuple[str, list[float]]:
    """The prompt without its weights, and the weight at every character of it.

    `"a (red:1.5) dot"` becomes `"a red dot"` with 1.5 over "red".
    """
    plain, at, end = "", list[float](), 0
    for match in _WEIGHTED.finditer(text):
        before, phrase = text[end : match.start()], match[1]
        plain += before + phrase
        at += [1.0] * len(before) + [float(match[2])] * len(phrase)
        end = match.end()
    rest = text[end:]
    return plain + rest, at + [1.0] * len(rest)


def learn_tokenizer(texts: Iterable[str], size: int = 2000) -> str:
    """A vocabulary for `texts`: their words if these are fewer than `size`, else byte pairs.

    Case does not matter. Byte pairs can spell anything; of words only these are known.

    Returns:
        The tokenizer as JSON, which is kept with the model.
    """
    tk = library()
    texts = [split_weights(text)[0] for text in texts]
    split, lower = tk.pre_tokenizers.Whitespace(), tk.normalizers.Lowercase()
    words = {word for text in texts for word, _ in split.pre_tokenize_str(text.lower())}
    if len(words) + len(SPECIAL) <= size:
        vocabulary = {word: i for i, word in enumerate([*SPECIAL, *sorted(words)])}
        made = tk.Tokenizer(tk.models.WordLevel(vocabulary, unk_token=UNKNOWN))
        made.normalizer, made.pre_tokenizer = lower, split
        return _compact(made)
    made = tk.Tokenizer(tk.models.BPE())
    made.normalizer = lower
    made.pre_tokenizer = tk.pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = tk.pre_tokenizers.ByteLevel.alphabet()
    trainer = tk.trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(sorted(texts), trainer)
    return _compact(made)


def library() -> Any:
    """The `tokenizers` library, imported when text is first read.

    Raises:
        MissingError: It is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        raise MissingError(
            "reading text needs the package tokenizers: pip install 'demist[text]'"
        ) from None
    return tokenizers


def _compact(made: "tokenizers.Tokenizer") -> str:
    return json.dumps(json.loads(made.to_str()), ensure_ascii=False, separators=(",", ":"))
