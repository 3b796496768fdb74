"""Prompts as text encoders of published models read them: weights, and chunks of what is long.

`(word:1.3)` weighs a word or phrase 1.3 times, `(word)` 1.1 times, `[word]` 1 / 1.1 times; brackets
may stand within brackets, and a backslash before one makes it a plain letter. An encoder of 77
tokens reads a long prompt in chunks of 75, each between a beginning and an end of its own; `BREAK`
begins a new one. So users of A1111's web interface write.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from demist.conditions.text_encoder import TextEncoder
from demist.errors import UsageError

_STRESS = 1.1
"""What brackets without a number multiply or divide by."""
_BACK = 20
"""Tokens at the end of a chunk among which a punctuation mark is looked for."""
_SIGNS = re.compile(r"\\[\\()\[\]]|[()\[\]]|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)")
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_MARKS = frozenset(",.;:!?")


@dataclass(frozen=True)
class Chunk:
    """Tokens that an encoder reads at once.

    Attributes:
        ids: All of its length: beginning, words, end, padding.
        weights: One for each.
        used: How many are no padding.
        spans: Where each begins and ends in the prompt without brackets; marks are empty.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    used: int
    spans: tuple[tuple[int, int], ...] = field(default=(), compare=False)

    @property
    def mask(self) -> Tensor:
        """1 for what is used, 0 for padding, `(L,)`."""
        return (torch.arange(len(self.ids)) < self.used).long()

    def weighted(self, states: Tensor) -> Tensor:
        """The states `(L, D)` times their weights, scaled so that the mean of all is as it was."""
        if set(self.weights) == {1.0}:
            return states
        weights = torch.tensor(self.weights, dtype=states.dtype, device=states.device)
        found = states * weights[:, None]
        mean = found.mean()
        return found * (states.mean() / mean) if mean else found


def weighted_text(text: str) -> tuple[str, list[float]]:
    """The prompt without its brackets, and the weight at every character of it.

    `"a (red:1.5) [dot]"` becomes `"a red dot"` with 1.5 over "red" and 0.909 over "dot". A bracket
    that is never closed reaches to the end.

    Raises:
        UsageError: A weight is beyond 100.
    """
    plain, at, end = "", list[float](), 0
    open_round, open_square = list[int](), list[int]()

    def scale(start: int, factor: float) -> None:
        at[start:] = [weight * factor for weight in at[start:]]

    for match in _SIGNS.finditer(text):
        if match.start() < end:
            continue
        plain += text[end : match.start()]
        at += [1.0] * (len(plain) - len(at))
        sign, end = match[0], match.end()
        if sign == "(":
            open_round.append(len(at))
        elif sign == "[":
            open_square.append(len(at))
        elif sign == "]" and open_square:
            scale(open_square.pop(), 1 / _STRESS)
        elif sign == ")" and open_round:
            scale(open_round.pop(), _STRESS)
        elif match[1] is not None and open_round:
            scale(open_round.pop(), float(match[1]))
        else:  # a letter: escaped, or a bracket that closes nothing
            plain += sign[1] if sign[0] == "\\" else sign
            at += [1.0] * (len(plain) - len(at))
    plain += text[end:]
    at += [1.0] * (len(plain) - len(at))
    for start in open_round:
        scale(start, _STRESS)
    for start in open_square:
        scale(start, 1 / _STRESS)
    most = max(map(abs, at), default=0.0)
    if not most <= 100:
        raise UsageError(f"a word of the prompt weighs {most:g}, and 100 is the limit; 1.3 is much")
    return plain, at


def tell_brackets(text: str) -> None:
    """Say how brackets without a number are understood, if there are any."""
    inside = re.search(r"(?<!\\)\[[^\[\]]*[|:][^\[\]]*\]", text)
    if inside:
        warnings.warn(
            f"{inside[0]} is no change of the prompt while sampling here: these words only weigh "
            f"1 / 1.1 times as much",
            stacklevel=1,
        )
    elif set(weighted_text(text)[1]) - {1.0} and not re.search(r":\s*[\d.+-]+\s*\)", text):
        warnings.warn(
            "brackets in the prompt are weights, (more) and [less]; write \\( for a plain bracket",
            stacklevel=1,
        )


def chunks_of(encoder: TextEncoder, text: str, whole: bool = False) -> list[Chunk]:
    """The chunks in which an encoder reads a prompt, at least one.

    Args:
        encoder: Which.
        text: The prompt.
        whole: There is one chunk only: what is beyond it is left out, and told.
    """
    tokenizer, length = encoder.tokenizer, encoder.length
    ends = tokenizer("")["input_ids"]
    before, after = list(ends[:-1]), list(ends[-1:])
    pad = tokenizer("", padding="max_length", max_length=length)["input_ids"][-1]
    size, rows = length - len(ends), list[tuple[list[int], list[float], list[tuple[int, int]]]]()
    plain, at = weighted_text(without_breaks(text) if whole else text)
    start = 0
    for match in [*_BREAK.finditer(plain), None]:
        stop = match.start() if match else len(plain)
        ids, weights, spans = _tokens(encoder, plain[start:stop], at[start:stop])
        spans = [(start + a, start + b) for a, b in spans]
        start = match.end() if match else stop
        while len(ids) > size:
            cut = size if whole else _cut(tokenizer, ids, size)
            rows.append((ids[:cut], weights[:cut], spans[:cut]))
            ids, weights, spans = ids[cut:], weights[cut:], spans[cut:]
        if ids or match or not rows:
            rows.append((ids, weights, spans))
    if len(rows) > 1:
        _tell(encoder, [ids for ids, _, _ in rows], size, whole)
    chunks = []
    for ids, weights, spans in rows[:1] if whole else rows:
        used, room = len(ids) + len(ends), size - len(ids)
        edge = [1.0] * len(before)
        chunks.append(
            Chunk(
                (*before, *ids, *after, *[pad] * room),
                (*edge, *weights, 1.0, *[1.0] * room),
                used,
                (*[(0, 0)] * len(before), *spans, *[(0, 0)] * (len(after) + room)),
            )
        )
    return chunks


def without_breaks(text: str) -> str:
    """The prompt for an encoder that reads it in one piece."""
    return _BREAK.sub(" ", text)


def _tokens(
    encoder: TextEncoder, plain: str, at: Sequence[float]
) -> tuple[list[int], list[float], list[tuple[int, int]]]:
    """Tokens, weights and places, words that were added to the encoder's vocabulary among them."""
    ids, weights, end = list[int](), list[float](), 0
    spans = list[tuple[int, int]]()
    pattern = "|".join(map(_whole_word, sorted(encoder.words, key=len, reverse=True)))
    known = {word.lower(): rows for word, rows in encoder.words.items()}
    for match in [*(re.finditer(pattern, plain, re.IGNORECASE) if pattern else ()), None]:
        piece = plain[end : match.start() if match else None]
        if piece.strip():
            found: Any = encoder.tokenizer(
                piece, add_special_tokens=False, return_offsets_mapping=True
            )
            ids += found["input_ids"]
            weights += [at[end + a] if b > a else 1.0 for a, b in found["offset_mapping"]]
            spans += [(end + a, end + b) for a, b in found["offset_mapping"]]
        if match:
            rows = known[match[0].lower()]
            ids += rows
            weights += [at[match.start()]] * len(rows)
            spans += [match.span()] * len(rows)
            end = match.end()
    return ids, weights, spans


def _whole_word(word: str) -> str:
    """A pattern for a word that is no part of a longer one."""
    left = r"(?<!\w)" if word[:1].isalnum() else ""
    right = r"(?!\w)" if word[-1:].isalnum() else ""
    return left + re.escape(word) + right


def _cut(tokenizer: Any, ids: Sequence[int], size: int) -> int:
    """Where a chunk ends: after its last punctuation mark, if that is near the end."""
    for i in range(size, max(size - _BACK, 0), -1):
        if str(tokenizer.decode([ids[i - 1]])).strip() in _MARKS:
            return i
    return size


def _tell(encoder: TextEncoder, rows: Sequence[list[int]], size: int, whole: bool) -> None:
    words = encoder.tokenizer.decode(rows[0])[-30:]
    count = sum(len(ids) for ids in rows)
    done = (
        f"what comes after {words!r} is left out of it"
        if whole
        else f"it is read in {len(rows)} chunks, the first up to {words!r}"
    )
    warnings.warn(
        f"the prompt has {count} tokens and {encoder.name} reads {size} at once: {done}",
        stacklevel=1,
    )
