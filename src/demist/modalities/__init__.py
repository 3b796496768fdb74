"""Kinds of data: one file each, which says all that depends on what a sample is.

Which one a shape, a data set or a model is of is found in `kinds`, and which one files are of in
`files`; nowhere else. `reading` loads data of any of them.
"""

from demist.modalities.files import Count, count, recognise
from demist.modalities.images import Images, measured
from demist.modalities.kinds import MODALITIES, every, of, of_shape, record
from demist.modalities.modality import Modality, Wanted
from demist.modalities.points import Points
from demist.modalities.reading import load, splits, train_and_test
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
    "recognise",
    "record",
    "splits",
    "through_codec",
    "train_and_test",
]
