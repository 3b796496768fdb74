"""Kinds of data: one file each, which says all that depends on what a sample is.

Which one a shape, a data set, a model or a path is of is found in `find`, and nowhere else.
"""

from demist.modalities.find import (
    MODALITIES,
    Count,
    count,
    every,
    load,
    of,
    of_shape,
    record,
    splits,
    train_and_test,
)
from demist.modalities.images import Images, measured
from demist.modalities.modality import Modality, Wanted
from demist.modalities.points import Points
from demist.modalities.sounds import Sounds

__all__ = [
    "MODALITIES",
    "Count",
    "Images",
    "Modality",
    "Points",
    "Sounds",
    "Wanted",
    "count",
    "enlarged",
    "every",
    "listening",
    "load",
    "measured",
    "named",
    "of",
    "of_shape",
    "record",
    "splits",
    "through_codec",
    "train_and_test",
]
