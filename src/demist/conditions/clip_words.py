"""A vocabulary in CLIP's form: byte pairs of words in lower case, learned from captions.

Its numbers are CLIP's: the 256 bytes, the same at the end of a word (`</w>`), the pairs in the
order in which they were learned, and the marks of begin and end. So the pairs alone say all, and
`vocab.json` and `merges.txt` made of them are opened by transformers' `CLIPTokenizer`.

References:
    Sennrich et al.: Neural Machine Translation of Rare Words with Subword Units, 2016,
        arXiv:1508.07909 (byte pairs).
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from demist.conditions.text import library, split_weights
from demist.errors import UsageError

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
LEAST = 2 * 256 + 2
"""Tokens that are there before any pair: the bytes, twice, and the marks."""
_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
"""What CLIP takes for a word; each digit is one."""


def letters() -> list[str]:
    """The character for each byte: itself where it can be seen, else one from 256 on.

    In the order of the vocabulary: those that can be seen come first.
    """
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in seen] + [chr(256 + i) for i in range(256 - len(seen))]


def vocabulary(pairs: Sequence[str]) -> dict[str, int]:
    """Tokens with their numbers.

    Args:
        pairs: Two tokens each, with a space between them, in the order in which they were learned.
    """
    alphabet = letters()
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    tokens += [pair.replace(" ", "") for pair in pairs]
    return {token: i for i, token in enumerate([*tokens, BEGIN, END])}


def learn_pairs(texts: Iterable[str], size: int = 2000) -> tuple[str, ...]:
    """The pairs of a vocabulary for `texts`, of at most `size` tokens.

    Raises:
        UsageError: The size leaves no room for pairs.
    """
    if size <= LEAST:
        raise UsageError(
            f"text_vocabulary = {size}: a vocabulary in CLIP's form has {LEAST} tokens before its "
            f"first pair of letters; choose {LEAST + 100} or more"
        )
    tk = library()
    made = _untrained((), trained=False)
    trainer = tk.trainers.BpeTrainer(
        vocab_size=size - 2, initial_alphabet=letters(), show_progress=False,
        end_of_word_suffix="</w>", special_tokens=[],
    )  # fmt: skip
    made.train_from_iterator(sorted(split_weights(text)[0] for text in texts), trainer)
    pairs = json.loads(made.to_str())["model"]["merges"]
    return tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in pairs)


@lru_cache(maxsize=8)
def tokenizer(pairs: tuple[str, ...]) -> Any:
    """The tokenizer of the library `tokenizers` for these pairs; it adds the marks.

    Raises:
        MissingError: The library is not installed.
        UsageError: The pairs do not go together.
    """
    try:
        made = _untrained(pairs)
    except Exception as error:  # of `tokenizers`, which raises nothing narrower
        raise UsageError(f"these pairs are no vocabulary in CLIP's form: {error}") from None
    size = LEAST + len(pairs)
    tk = library()
    made.post_processor = tk.processors.RobertaProcessing(
        (END, size - 1), (BEGIN, size - 2), trim_offsets=False, add_prefix_space=False
    )
    return made


def merges_text(pairs: Sequence[str]) -> str:
    """The content of `merges.txt`."""
    return "\n".join(["#version: 0.2", *pairs, ""])


def files(pairs: Sequence[str], length: int) -> dict[str, Any]:
    """The files of a tokenizer's folder, as transformers saves one: name -> text, or JSON.

    Args:
        pairs: Of the vocabulary.
        length: Longest prompt in tokens, marks included.
    """
    marks = {"bos_token": BEGIN, "eos_token": END, "pad_token": END, "unk_token": END}
    said = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, "do_lower_case": True}
    return {
        "vocab.json": vocabulary(pairs),
        "merges.txt": merges_text(pairs),
        "tokenizer_config.json": {**said, **marks},
        "special_tokens_map.json": marks,
    }


def _untrained(pairs: tuple[str, ...], trained: bool = True) -> Any:
    tk = library()
    merges = [tuple(pair.split(" ")) for pair in pairs]
    made = tk.Tokenizer(
        tk.models.BPE(
            vocab=vocabulary(pairs) if trained else None,
            merges=merges if trained else None,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=END,
        )
    )
    normal, before = tk.normalizers, tk.pre_tokenizers
    blanks = normal.Replace(tk.Regex(r"\s+"), " ")
    made.normalizer = normal.Sequence([normal.NFC(), blanks, normal.Lowercase()])
    words = before.Split(tk.Regex(_WORDS), behavior="removed", invert=True)
    made.pre_tokenizer = before.Sequence([words, before.ByteLevel(add_prefix_space=False)])
    return made
