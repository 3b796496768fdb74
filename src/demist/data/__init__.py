"""Data sets: pictures as bytes, points as numbers, from the package or from the user's files.

`load` is the way in. One file holds the rules for decoding a picture (`decode`), one those for
laying out a folder (`layout`), and one each the formats: `folder`, `tar`, `metadata`, `idx`,
`cifar`, `arrays`, `toy`.
"""

from demist.data.dataset import BadFile, Dataset
from demist.data.decode import Rules, decode
from demist.data.load import NAMES, digits, load

__all__ = ["NAMES", "BadFile", "Dataset", "Rules", "decode", "digits", "load"]
