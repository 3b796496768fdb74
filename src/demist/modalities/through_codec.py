"""What a learned codec loses: real images, encoded and decoded, measured as samples are.

A model in latents cannot be better than this, whatever it learns: its samples go the same way.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from demist.codecs import Codec
from demist.data.dataset import Samples
from demist.evaluation.metrics.metric import Found, TextMetric, metrics_of
from demist.evaluation.metrics.psnr import psnr
from demist.evaluation.metrics.ssim import ssim
from demist.evaluation.metrics.text_score import Encoder
from demist.evaluation.reference import Reference, Seen

BLOCK = 256


def reconstructions(codec: Codec, images: Samples) -> np.ndarray:
    """Images or sounds after encoding (to the mean, if there is a choice) and decoding."""
    parts = []
    for begin in range(0, len(images), BLOCK):
        x = torch.from_numpy(np.array(images[begin : begin + BLOCK]))
        parts.append(codec.decode(codec.encode(x)).cpu().numpy())
    return np.concatenate(parts)


def through_codec(
    codec: Codec,
    reference: Reference,
    labels: np.ndarray | None = None,
    captions: tuple[Encoder, np.ndarray, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The test images of `reference` through the codec.

    Args:
        codec: The codec.
        reference: With the test images.
        labels: Their true classes, numbered as the judge's.
        captions: What compares images with captions, numbers of some test images, their captions.

    Returns:
        As in `lost`, and in `metrics` also the scores of captions.
    """
    rebuilt = reconstructions(codec, reference.test.images)
    found = lost(rebuilt, reference, labels)
    if captions is not None:
        encoder, rows, texts = captions
        for metric in metrics_of(TextMetric):  # type: ignore[type-abstract]
            if not metric.whole:
                found["metrics"] |= metric(encoder, rebuilt[rows], texts)
    return found


def lost(
    rebuilt: np.ndarray, reference: Reference, labels: np.ndarray | None = None
) -> dict[str, Any]:
    """What the test images of `reference` have lost when they have become `rebuilt`.

    Returns:
        `psnr` in decibels and `ssim`; `fd` and `fdr`, of those test images that the floor is
        measured on; `same_label`, the share in which the judge sees what it saw before; `metrics`,
        the numbers that an evaluation of samples has, these images in their place.
    """
    test = reference.test
    seen = Seen.of(rebuilt, reference.judge, reference.extractor)
    found = Found(seen.part(reference.rows), seen, labels)
    metrics: dict[str, float] = {}
    for metric in reference.metrics(found):
        metrics |= metric(found, reference)
    known = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    return {
        "psnr": psnr(test.images, rebuilt),
        "ssim": ssim(test.images, rebuilt),
        "fd": metrics["fd"],
        "fdr": metrics["fdr"],
        "same_label": float((seen.labels == test.labels).mean()),
        "metrics": known,
    }


def sentence(found: dict[str, Any]) -> str:
    """For people."""
    what = found.get("what", "images")
    return (
        f"Through the codec: test {what}, encoded and decoded, have a PSNR of "
        f"{found['psnr']:.1f} dB, FD {found['fd']:.4g} and FDr {found['fdr']:.3g}; the judge sees "
        f"the same in {100 * found['same_label']:.1f} % of them. Samples of this model go that way."
    )
