"""CLIP's vocabulary, which comes with this package: tokens and merges as they were published.

The file is `bpe_simple_vocab_16e6.txt.gz` of github.com/openai/CLIP, MIT; see `clip/LICENSE`.

References:
    Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision",
    arXiv:2103.00020.
"""

import gzip
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from demist.conditions.clip_words import letters
from demist.conditions.states import transformers_for
from demist.errors import DataError
from demist.io.files import write_text

FILE = Path(__file__).parent / "clip" / "bpe_simple_vocab_16e6.txt.gz"
WORDS = 49408
"""Entries: 256 bytes, the same at the end of a word, merges, and the two marks of start and end."""

MARKS = ("pad_token", "bos_token", "eos_token", "unk_token")


@cache
def vocabulary() -> tuple[dict[str, int], list[str]]:
    """Tokens with their numbers, and merges in the order in which they are tried."""
    rows = gzip.decompress(FILE.read_bytes()).decode().split("\n")
    alphabet = letters()
    merges = rows[1 : WORDS - 2 * len(alphabet) - 2 + 1]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet)]
    tokens += [merge.replace(" ", "") for merge in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def clip_tokenizer(where: str, pad: str = "<|endoftext|>") -> Any:
    """CLIP's tokenizer.

    Args:
        where: What needs it, for messages.
        pad: What short prompts are filled with: OpenCLIP was trained with "!", which is number 0.

    Raises:
        MissingError: `transformers` is not installed.
    """
    tokens, merges = vocabulary()
    with tempfile.TemporaryDirectory() as folder:
        paths = (Path(folder) / "vocab.json", Path(folder) / "merges.txt")
        write_text(paths[0], json.dumps(tokens))
        write_text(paths[1], "\n".join(["#version: 0.2", *merges, ""]))
        return transformers_for(None).CLIPTokenizer(
            str(paths[0]), str(paths[1]), model_max_length=77, pad_token=pad
        )


def tokenizer_of(said: dict[str, Any], where: str) -> Any:
    """A tokenizer that a file describes, as the package `tokenizers` writes one.

    Args:
        said: `json`, and the names of its marks.
        where: What needs it, for messages.

    Raises:
        DataError: It describes none.
        MissingError: `transformers` is not installed.
    """
    transformers = transformers_for(None)
    marks = {key: said[key] for key in MARKS if isinstance(said.get(key), str)}
    length = said.get("model_max_length")
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokenizer.json"
            write_text(path, said["json"])
            made = transformers.PreTrainedTokenizerFast(
                tokenizer_file=str(path),
                model_max_length=length if isinstance(length, int) else 77,
                **marks,
            )
    except Exception as error:  # of `tokenizers`, which raises nothing narrower
        raise DataError(f"{where} describes no tokenizer: {error}") from None
    return made
