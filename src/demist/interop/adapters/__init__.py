"""Adapters: small files that change a published model, and the same written from one.

LoRA (`lora`, `fit`, `merge`, `write`), textual inversion (`embedding`).
"""

from demist.interop.adapters.apply import named_in, weighted_file, with_loras
from demist.interop.adapters.embedding import (
    Embedding,
    checked_word,
    read_embedding,
    with_embeddings,
    with_words,
)
from demist.interop.adapters.fit import Change, Target, fitted
from demist.interop.adapters.lora import Lora, LowRank, named, read_lora
from demist.interop.adapters.merge import merged, replaced
from demist.interop.adapters.readers import readers_of, with_readers
from demist.interop.adapters.write import write_lora

__all__ = [
    "Change",
    "Embedding",
    "Lora",
    "LowRank",
    "Target",
    "apply",
    "checked_word",
    "embedding",
    "fit",
    "fitted",
    "lora",
    "merge",
    "merged",
    "named",
    "named_in",
    "read_embedding",
    "read_lora",
    "readers",
    "readers_of",
    "replaced",
    "weighted_file",
    "with_embeddings",
    "with_loras",
    "with_readers",
    "with_words",
    "write",
    "write_lora",
]
