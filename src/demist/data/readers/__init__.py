"""One reader a format: each gives a `Dataset`, and is found by being there."""

from demist.data.readers.reader import Reader, Source, files_of, first_bytes, is_tar, is_zip
from demist.parts import Family

READERS: Family[Reader] = Family("reader", Reader, "data.readers")  # type: ignore[type-abstract]
"""All readers."""

__all__ = [
    "READERS",
    "Reader",
    "Source",
    "arrays",
    "arrow",
    "blocks",
    "cifar",
    "digits",
    "files_of",
    "first_bytes",
    "idx",
    "is_tar",
    "is_zip",
    "labels",
    "loops",
    "plainpickle",
    "scenes",
    "shapes",
    "toy",
]
