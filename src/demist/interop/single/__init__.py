"""Models in single files, with the names of CompVis, Stability, Black Forest Labs or ComfyUI.

`places` is a table that is read in both directions; `unet`, `streams` and `text` fill it, one
function a network. `opening` finds out what a file is, `file_source` gives its components.
"""

from demist.interop.single.file_source import FileSource
from demist.interop.single.held import PLACES, network_places
from demist.interop.single.opening import open_file
from demist.interop.single.places import Place
from demist.interop.single.write import write_single

__all__ = [
    "PLACES",
    "FileSource",
    "Place",
    "encoders",
    "file_source",
    "held",
    "network_places",
    "open_file",
    "opening",
    "places",
    "said",
    "sorting",
    "streams",
    "text",
    "unet",
    "vocabulary",
    "write",
    "write_single",
]
