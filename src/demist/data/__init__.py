"""Data sets: images as bytes, points as numbers, from the package or from the user's files.

`load` is the way in. One file holds the rules for decoding an image (`decode`), one those for
laying out a folder (`layout`, with `divide`, `aside`, `classes`), one the words for columns and
splits (`words`), and one each the formats: `folder`, `tar`, `shards`, `zips`, `metadata`, `idx`,
`cifar`, `arrays`, `arrow`, `toy`. Images that memory would not hold are `lazy`.
"""

from demist.data.column import Column
from demist.data.dataset import BadFile, Dataset, choose
from demist.data.files.tree import Tree
from demist.data.images.decode import decode
from demist.data.images.pack import pack
from demist.data.images.rules import Rules
from demist.data.load import (
    NAMES,
    buckets_of,
    digits,
    existing,
    files_at,
    load,
    reader_of,
    splits,
    train_and_test,
)
from demist.data.report import Report

__all__ = [
    "NAMES",
    "BadFile",
    "Column",
    "Dataset",
    "Report",
    "Rules",
    "Tree",
    "buckets_of",
    "choose",
    "column",
    "dataset",
    "decode",
    "digits",
    "division",
    "existing",
    "files_at",
    "load",
    "long_captions",
    "pack",
    "reader_of",
    "report",
    "scene_pairs",
    "splits",
    "train_and_test",
    "words",
]
