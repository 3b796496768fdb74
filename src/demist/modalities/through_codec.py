"""What a learned codec loses: real images, encoded and decoded, measured as samples are.

A model in latents cannot be better than this, whatever it learns: its samples go the same way.
"""

import numpy as np
import torch

from demist.codecs import Codec
from demist.evaluation.extractors.features import quotient
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.evaluation.metrics.psnr import psnr
from demist.evaluation.reference import Reference, Seen

BLOCK = 256


def reconstructions(codec: Codec, images: np.ndarray) -> np.ndarray:
    """Images after encoding (to the mean, if there is a choice) and decoding."""
    parts = []
    for begin in range(0, len(images), BLOCK):
        x = torch.from_numpy(np.array(images[begin : begin + BLOCK]))
        parts.append(codec.decode(codec.encode(x)).cpu().numpy())
    return np.concatenate(parts)


def through_codec(codec: Codec, reference: Reference) -> dict[str, float]:
    """The test images of `reference` through the codec.

    Returns:
        `psnr` in decibels; `fd` and `fdr`, of those test images that the floor is measured on;
        `same_label`, the share in which the judge sees what it saw before.
    """
    test = reference.test
    rebuilt = reconstructions(codec, test.images)
    seen = Seen.of(rebuilt, reference.judge, reference.extractor)
    fd = frechet_distance(Moments.of(seen.features[reference.rows]), reference.moments)
    return {
        "psnr": psnr(test.images, rebuilt),
        "fd": fd,
        "fdr": quotient(fd, reference.floor["fd"]),
        "same_label": float((seen.labels == test.labels).mean()),
    }


def sentence(found: dict[str, float]) -> str:
    """For people."""
    return (
        f"Through the codec: test images, encoded and decoded, have a PSNR of "
        f"{found['psnr']:.1f} dB, FD {found['fd']:.4g} and FDr {found['fdr']:.3g}; the judge sees "
        f"the same in {100 * found['same_label']:.1f} % of them. Samples of this model go that way."
    )
