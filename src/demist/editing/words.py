"""Which words of one prompt stand where words of another stood, and what their tokens are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from demist.conditions.condition import Reading
from demist.errors import UsageError

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*|[^\w\s]")
_BRACES = re.compile(r"\{([^{}:]+):([^{}:]*)\}")


@dataclass(frozen=True)
class Correspondence:
    """How the tokens of a new prompt, `M` of them, come from the `L` of an old one.

    Attributes:
        mapper: `(L, M)`: each column says from which old tokens a new one takes what they attract;
            zeros where it is new.
        weights: `(M,)`, how much more each new token counts.
        gone: `(L,)`, 1 for tokens of old words that are changed, left out or weighed.
        come: `(M,)`, 1 for tokens of new words that are changed, added or weighed.
    """

    mapper: Tensor
    weights: Tensor
    gone: Tensor
    come: Tensor


def correspondence(
    old: Sequence[Reading], new: Sequence[Reading], weights: Mapping[str, float] | None = None
) -> Correspondence:
    """How two prompts correspond, word by word, by the least number of edits.

    A word in the place of another takes over what that one attracted, spread evenly where they have
    other numbers of tokens. Beginning and end marks and padding correspond in their order.

    Args:
        old: The prompt of the source, from `Condition.readings`.
        new: That of the result.
        weights: Words or phrases of the new prompt, and how much more they count.

    Raises:
        UsageError: A word that is to be weighed is not in the new prompt.
    """
    weights = weights or {}
    for phrase in weights:
        if not any(_places(split(text), phrase) for text, _ in new):
            raise UsageError(f"cannot weigh {phrase!r}: the prompt {new[0][0]!r} does not have it")
    parts = [_corresponding(*pair, weights) for pair in zip(old, new, strict=True)]
    return Correspondence(
        torch.block_diag(*(part.mapper for part in parts)),
        torch.cat([part.weights for part in parts]),
        torch.cat([part.gone for part in parts]),
        torch.cat([part.come for part in parts]),
    )


def split(text: str) -> list[str]:
    """Words and signs, in lower case."""
    return [match[0].lower() for match in _WORD.finditer(text)]


def aligned(a: Sequence[str], b: Sequence[str]) -> list[tuple[int | None, int | None]]:
    """Pairs of places, from the least number of words changed, left out (j None) or added (i None).

    Where several ways are as short, words are changed rather than added, and late ones first.
    """
    far = [[i + j for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = far[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            far[i][j] = min(change, far[i - 1][j] + 1, far[i][j - 1] + 1)
    i, j, pairs = len(a), len(b), list[tuple[int | None, int | None]]()
    while i or j:
        if i and j and far[i][j] == far[i - 1][j - 1] + (a[i - 1] != b[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and far[i][j] == far[i - 1][j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs[::-1]


def swapped(prompt: str, edits: str) -> str:
    """The prompt after edits such as `seven->three` or `a red->a green, seven->three`.

    Every place where the words stand is edited; nothing after the arrow leaves them out.

    Raises:
        UsageError: There is no arrow, or the words are not in the prompt.
    """
    for edit in edits.split(","):
        old, arrow, new = (part.strip() for part in edit.partition("->"))
        if not arrow or not old:
            raise UsageError(f"swap {edit.strip()!r}: write what is there and what shall be, "
                             f"such as 'seven->three'")  # fmt: skip
        pattern = rf"(?<!\w){re.escape(old)}(?!\w)"
        parts = re.split(pattern, prompt, flags=re.IGNORECASE)
        if len(parts) == 1:
            raise UsageError(f"swap {edit.strip()!r}: the prompt {prompt!r} does not have {old!r}")
        prompt = re.sub(r"\s+", " ", new.join(parts)).strip()
    return prompt


def weighed(prompt: str) -> tuple[str, dict[str, float]]:
    """`"a {red:1.5} three"` as the prompt `"a red three"` and the weights of its words.

    Raises:
        UsageError: A weight is no number.
    """
    weights: dict[str, float] = {}
    for phrase, number in _BRACES.findall(prompt):
        weights[phrase.strip()] = number_of(phrase, number)
    return _BRACES.sub(lambda match: match[1], prompt), weights


def number_of(phrase: str, text: str) -> float:
    """The weight of a word or phrase.

    Raises:
        UsageError: It is no number from -10 to 10.
    """
    try:
        weight = float(text)
    except ValueError:
        weight = float("nan")
    if not -10 <= weight <= 10:
        raise UsageError(f"the weight {text!r} of {phrase!r} is no number from -10 to 10; 1 is "
                         f"as it is, 2 counts twice")  # fmt: skip
    return weight


def _corresponding(before: Reading, after: Reading, weights: Mapping[str, float]) -> Correspondence:
    (old, old_tokens), (new, new_tokens) = read_words(before), read_words(after)
    length, count = len(before[1]), len(after[1])
    mapper = torch.zeros(length, count)
    gone, come, weight = torch.zeros(length), torch.zeros(count), torch.ones(count)
    for i, j in aligned(old, new):
        there = [] if i is None else old_tokens[i]
        here = [] if j is None else new_tokens[j]
        for a, b in zip(there, here, strict=False) if len(there) == len(here) else ():
            mapper[a, b] = 1
        if len(there) != len(here):
            mapper[torch.tensor(there, dtype=torch.long)[:, None], here] = 1 / max(1, len(here))
        if i is None or j is None or old[i] != new[j]:
            gone[there], come[here] = 1, 1
    for marks_old, marks_new in zip(_marks(before), _marks(after), strict=True):
        for a, b in zip(marks_old, marks_new, strict=False):
            mapper[a, b] = 1
    for phrase, number in weights.items():
        for place in _places(new, phrase):
            weight[new_tokens[place]] = number
            if number != 1:
                come[new_tokens[place]] = 1
    return Correspondence(mapper, weight, gone, come)


def read_words(reading: Reading) -> tuple[list[str], list[list[int]]]:
    """The words of a prompt, and the tokens of each."""
    text, spans = reading
    words = list(_WORD.finditer(text))
    tokens: list[list[int]] = [[] for _ in words]
    for k, (begin, end) in enumerate(spans):
        begin += len(text[begin:end]) - len(text[begin:end].lstrip())
        for i, word in enumerate(words):
            if begin < end and word.start() <= begin < word.end():
                tokens[i].append(k)
    return [word[0].lower() for word in words], tokens


def _marks(reading: Reading) -> tuple[list[int], list[int]]:
    """Tokens that are no words: those before the first word, and all others."""
    empty = [k for k, (begin, end) in enumerate(reading[1]) if begin >= end]
    first = next((k for k, (begin, end) in enumerate(reading[1]) if begin < end), 1)
    return [k for k in empty if k < first], [k for k in empty if k >= first]


def _places(words: Sequence[str], phrase: str) -> list[int]:
    """Where the words of a phrase stand."""
    wanted = split(phrase)
    starts = range(len(words) - len(wanted) + 1) if wanted else ()
    found = [i for i in starts if list(words[i : i + len(wanted)]) == wanted]
    return [i + k for i in found for k in range(len(wanted))]
