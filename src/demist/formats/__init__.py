"""What a file of weights is, told by names and shapes: nothing is read but its header, no torch.

`parts` finds networks, autoencoders and text encoders in a file, `kinds` says what model they are,
`configs` derives their configurations.
"""

from demist.formats.alone import Alone, alone_of
from demist.formats.configs import config_of
from demist.formats.kinds import COMPONENTS, Kind, kind_of
from demist.formats.parts import ENCODERS, NETWORKS, Part, Shapes, parts_of

__all__ = [
    "COMPONENTS",
    "ENCODERS",
    "NETWORKS",
    "Alone",
    "Kind",
    "Part",
    "Shapes",
    "alone",
    "alone_of",
    "config_of",
    "configs",
    "contents",
    "kind_of",
    "kinds",
    "parts",
    "parts_of",
    "recipes",
]
