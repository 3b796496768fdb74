"""What turns images into features."""

from demist.evaluation.extractors.features import (
    Extractor,
    as_matrix,
    in_blocks,
    pixels,
    quotient,
    require_alike,
    require_numbers,
    take,
)
from demist.evaluation.extractors.inception import Conv, Inception, Mixed, Network
from demist.evaluation.extractors.pretrained import Transformer, load_extractor
from demist.evaluation.extractors.resize import prepare

__all__ = [
    "Conv",
    "Extractor",
    "Inception",
    "Mixed",
    "Network",
    "Transformer",
    "as_matrix",
    "in_blocks",
    "load_extractor",
    "pixels",
    "prepare",
    "quotient",
    "require_alike",
    "require_numbers",
    "take",
]
