"""How good sounds are: what is heard of them, as images, measured as images are.

Judge and distances see the decoded wave: a spectrogram of it in bytes, which is the same for every
model, whatever codec that has.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from demist.codecs import Codec
from demist.data import Dataset
from demist.data.dataset import Samples
from demist.errors import UsageError
from demist.modalities.images import measured
from demist.modalities.through_codec import lost, reconstructions

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference
    from demist.evaluation.report import Report
    from demist.evaluation.ruler import Asked, Ruler
    from demist.modalities.sounds import Sounds

QUIET = 80.0
"""Decibels below full scale that are still told apart."""


def pictures(kind: "Sounds", x: Samples) -> np.ndarray:
    """Sounds `(n, 1, L)` as grey images `(n, 1, bands, L / hop)`, low frequencies below."""
    loud = kind.decibels(np.asarray(x[:])) / QUIET + 1
    bytes_: np.ndarray = np.rint(255 * loud[:, None, ::-1].clip(0, 1)).astype(np.uint8)
    return bytes_


def listened(kind: "Sounds", data: Dataset) -> Dataset:
    """The data set of what is heard."""
    x = pictures(kind, data.x)
    return replace(data, x=x, kind="images", known_fingerprint="")


def measure(
    kind: "Sounds",
    samples: Mapping[int, np.ndarray],
    ruler: "Ruler",
    asked: "Asked",
    codec: Codec | None,
) -> list["Report"]:
    """Reports as of images, with what real sounds score through the codec.

    Args:
        kind: Says the rate.
        samples: Seed -> sounds `(n, 1, L)`.
        ruler: Training and held-out sounds.
        asked: What the samples were asked to be.
        codec: The model's.

    Raises:
        UsageError: Sounds are to be compared with what is made for images.
    """
    if ruler.encoder is not None or ruler.extractor is not None:
        raise UsageError("--clip and --extractor look at images, and these are sounds; leave out")
    heard = replace(ruler, train=listened(kind, ruler.train), test=listened(kind, ruler.test))

    def through(reference: "Reference", labels: np.ndarray | None, told: Any) -> dict[str, Any]:
        assert codec is not None
        rebuilt = pictures(kind, reconstructions(codec, np.asarray(ruler.test.x[:])))
        return {**lost(rebuilt, reference, labels), "what": "sounds (as spectrograms)"}

    looked = {seed: pictures(kind, x) for seed, x in samples.items()}
    lossy = codec is not None and not codec.lossless
    return measured(looked, heard, asked, through if lossy else None)
