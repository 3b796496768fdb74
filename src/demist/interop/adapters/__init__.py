"""Adapters: small files that change a published model, and the same written from one.

LoRA (`lora`, `fit`, `merge`, `write`), textual inversion (`embedding`), IP-Adapter (`ip_adapter`).
"""

from demist.interop.adapters.aliases import aliases_of
from demist.interop.adapters.apply import named_in, weighted_file, with_loras
from demist.interop.adapters.embedding import (
    Embedding,
    checked_word,
    read_embedding,
    with_embeddings,
    with_words,
)
from demist.interop.adapters.fit import Change, Target, fitted
from demist.interop.adapters.ip_adapter import (
    IPAdapter,
    find_encoder,
    read_ip_adapter,
    with_ip_adapter,
)
from demist.interop.adapters.lora import Lora, LowRank, named, read_lora, shown
from demist.interop.adapters.merge import merged, replaced
from demist.interop.adapters.readers import readers_of, with_readers
from demist.interop.adapters.write import write_lora

__all__ = [
    "Change",
    "Embedding",
    "IPAdapter",
    "Lora",
    "LowRank",
    "Target",
    "aliases",
    "aliases_of",
    "apply",
    "checked_word",
    "embedding",
    "find_encoder",
    "fit",
    "fitted",
    "ip_adapter",
    "lora",
    "merge",
    "merged",
    "named",
    "named_in",
    "read_embedding",
    "read_ip_adapter",
    "read_lora",
    "readers",
    "readers_of",
    "replaced",
    "shown",
    "weighted_file",
    "with_embeddings",
    "with_ip_adapter",
    "with_loras",
    "with_readers",
    "with_words",
    "write",
    "write_lora",
]
