"""Textual inversion: a word that stands for vectors which were learned in the place of tokens.

References:
    Gal et al. 2022, "An Image is Worth One Word", arXiv:2208.01618.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from demist.conditions import Conditioner, TextEncoder
from demist.errors import DataError, UsageError
from demist.interop.adapters.lora import named
from demist.interop.adapters.merge import replaced
from demist.interop.adapters.readers import readers_of, with_readers
from demist.io import hub
from demist.io.tensors import read_tensors

ENCODERS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2", "t5xxl": "text_encoder_3"}
"""Name of a table in a file -> the encoder that it is for."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """A word and its vectors.

    Attributes:
        place: The file, for messages.
        word: As prompts write it.
        tables: Encoder -> `(k, d)`; "" is the encoder of that width.
    """

    place: str
    word: str
    tables: Mapping[str, Tensor]


def read_embedding(text: str) -> Embedding:
    """The embedding in `FILE=word`; without a word, the one in the file, or the file's name.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is damaged, or holds something else; the first five names are told.
        UsageError: The word cannot stand in a prompt.
    """
    head, equals, word = text.rpartition("=")
    path = Path(head) if equals and not Path(text).exists() else Path(text)
    word = word if equals and path == Path(head) else ""
    tensors = read_tensors(hub.local(str(path)))
    if set(tensors) <= set(ENCODERS) and tensors:
        tables, usual = {ENCODERS[name]: tensor for name, tensor in tensors.items()}, path.stem
    elif len(tensors) == 1:
        name, tensor = next(iter(tensors.items()))
        tables, usual = {"": tensor}, path.stem if name == "emb_params" else name
    else:
        raise DataError(
            f"{path} has {named(list(tensors))}, and a textual inversion has emb_params, or clip_l "
            f"and clip_g, or one tensor named by its word"
        )
    tables = {name: table[None] if not table.shape[1:] else table for name, table in tables.items()}
    for table in tables.values():
        rows = table.shape[:1]
        if len(table.shape[2:]) or not table.shape[1:] or not 1 <= rows[0] <= 1000:
            raise DataError(f"{path}: vectors of the shape {tuple(table.shape)} are no embedding")
        if not table.isfinite().all():
            raise DataError(f"{path} has NaN or infinity; the file is damaged")
    return Embedding(str(path), checked_word(word or usual, str(path)), tables)


def checked_word(word: str, where: str) -> str:
    """The word, if a prompt can have it.

    Raises:
        UsageError: It has blanks, brackets, or nothing.
    """
    if not word.strip() or set(word) & set(" \t\n()[]:\\"):
        raise UsageError(
            f"{where} calls its word {word!r}, which no prompt can have; give another: FILE=word"
        )
    return word


def with_embeddings(conditioner: Conditioner, embeddings: list[Embedding]) -> Conditioner:
    """Conditions whose text encoders know the words; those given stay as they were.

    Raises:
        UsageError: The model reads no prompts through such encoders, or a word is there already.
        DataError: No encoder has vectors of this width.
    """
    for embedding in embeddings:
        readers = readers_of(conditioner)
        if not readers:
            raise UsageError(f"{embedding.place}: this model has no text encoder; leave it out")
        new = {}
        for name, table in embedding.tables.items():
            reader = _reader(readers, name, table, embedding)
            new[reader.name] = with_words(reader, {embedding.word: table})
        others = [name for name in readers if name not in new]
        if others:
            warnings.warn(
                f"{embedding.place} teaches {embedding.word!r} to the {', '.join(new)}; the "
                f"{', '.join(others)} reads it as any other word",
                stacklevel=2,
            )
        conditioner = with_readers(conditioner, new)
    return conditioner


def with_words(reader: TextEncoder, words: Mapping[str, Tensor]) -> TextEncoder:
    """An encoder that knows further words.

    Args:
        reader: The encoder.
        words: Word -> vectors `(k, d)`, which stand in the place of k tokens.

    Raises:
        UsageError: It knows one already.
    """
    rows = len(_table(reader.model))
    places = {}
    for word, table in words.items():
        if word.lower() in {known.lower() for known in reader.words}:
            raise UsageError(f"the word {word!r} is taken by another file; give one: FILE=word")
        places[word] = tuple(range(rows, rows + len(table)))
        rows += len(table)

    def longer(model: nn.Module) -> nn.Module:
        old = _table(model)
        name = next(name for name, p in model.named_parameters() if p is old)
        return replaced(model, {name: torch.cat([old, *(t.to(old) for t in words.values())])})

    return reader.changed(longer, places)


def _table(model: nn.Module) -> Tensor:
    """The vectors of an encoder's tokens."""
    weight: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
    return weight


def _reader(
    readers: Mapping[str, TextEncoder], name: str, table: Tensor, embedding: Embedding
) -> TextEncoder:
    widths = {key: _table(reader.model).shape[1] for key, reader in readers.items()}
    found = [k for k, width in widths.items() if width == table.shape[1] and name in ("", k)]
    if not found:
        has = ", ".join(f"{key}: {width}" for key, width in widths.items())
        raise DataError(
            f"{embedding.place} has vectors of {table.shape[1]} numbers"
            + (f" for the {name}" if name else "")
            + f", and this model's encoders have {has}; it belongs to a model of another family"
        )
    return readers[found[0]]
