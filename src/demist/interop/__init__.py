"""Models of other makers: what their folders say, as the parts of a pipeline.

A `Source` gives configurations and tensors by the names of components; `families` say what stands
around a network; `read` puts them together.
"""

from demist.interop.asked import PublishedSampler
from demist.interop.codecs import codec_of_folder, read_codec, with_factor
from demist.interop.controls import read_control
from demist.interop.families import FAMILIES
from demist.interop.read import Reading, assembled, is_published, open_source, read, shape_of
from demist.interop.relearned import OWN, Outline, Relearned
from demist.interop.replaced import Replaced, autoencoder_in, with_codec
from demist.interop.sampler import published_sampler, published_shift
from demist.interop.save import save, write_network
from demist.interop.schedulers import Scheduled, read_scheduler
from demist.interop.single import FileSource, open_file, write_single
from demist.interop.source import FolderSource, Source
from demist.interop.trained import as_published, scheduler_of
from demist.interop.wrap import Called, Wrapped, wrap

__all__ = [
    "FAMILIES",
    "OWN",
    "Called",
    "FileSource",
    "FolderSource",
    "Outline",
    "PublishedSampler",
    "Reading",
    "Relearned",
    "Replaced",
    "Scheduled",
    "Source",
    "Wrapped",
    "as_published",
    "asked",
    "assembled",
    "autoencoder_in",
    "choose",
    "codec_of_folder",
    "codecs",
    "controls",
    "convert",
    "is_published",
    "levels",
    "open_file",
    "open_source",
    "published_sampler",
    "published_shift",
    "read",
    "read_codec",
    "read_control",
    "read_scheduler",
    "sampler",
    "save",
    "scheduler_of",
    "schedulers",
    "shape_of",
    "source",
    "tiny",
    "trained",
    "weights",
    "with_codec",
    "with_factor",
    "wrap",
    "write_network",
    "write_single",
]
