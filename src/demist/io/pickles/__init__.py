"""Files of `torch.save`, read as data: nothing in them is imported, called or executed."""

from demist.io.pickles.checkpoint import Checkpoint, open_checkpoint
from demist.io.pickles.values import Items, Name, Storage, Stored, Unknown, shown

__all__ = [
    "Checkpoint",
    "Items",
    "Name",
    "Storage",
    "Stored",
    "Unknown",
    "archive",
    "checkpoint",
    "known",
    "machine",
    "open_checkpoint",
    "shown",
    "values",
]
