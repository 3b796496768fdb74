"""Models of other makers: what their folders say, as the parts of a pipeline.

One module for each thing that a folder holds; `folders` puts them together.
"""

from demist.interop.codecs import read_codec
from demist.interop.folders import PIPELINES, is_published, read
from demist.interop.schedulers import Scheduled, read_scheduler

__all__ = [
    "PIPELINES",
    "Scheduled",
    "codecs",
    "folders",
    "is_published",
    "read",
    "read_codec",
    "read_scheduler",
    "schedulers",
    "weights",
]
