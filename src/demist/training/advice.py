"""What a person should know before the first step, and after the last: one sentence each."""

from collections.abc import Mapping
from typing import Any

from demist.modalities import of
from demist.networks import UNet
from demist.training.experiment import Experiment

FIRST = 50_000
"""Images seen, repeats included, from which samples usually begin to look like something."""
FEW = 500
"""So few different images a network learns by heart instead of what they have in common."""


def before(e: Experiment, images: int | None = None) -> list[str]:
    """What to say of a training that is to begin.

    Args:
        e: All objects of the run.
        images: How many it will see; None: as many as its limits say, if these count any.
    """
    steps, images = e.config.limits.steps, images or e.config.limits.images
    images = images or (steps and steps * e.config.optimization.batch_size)
    sentences = [*e.notes, middle(e), too_short(e, images, "will see") if images else "", few(e)]
    return [sentence for sentence in sentences if sentence]


def middle(e: Experiment) -> str:
    """Where size took the self-attention at the coarsest level away."""
    options, shape = e.config.network, e.pipeline.shape
    shape = getattr(e.pipeline, "state_shape", shape)
    if not isinstance(e.network, UNet) or not options.mid_attention:
        return ""
    if e.network.config["mid_attention"] or not UNet.skips_middle(
        shape, {**vars(options), "patch": e.network.patch}
    ):
        return ""
    side = e.network.multiple
    return (
        f"no self-attention in the middle: it would compare {shape[1] // side} x "
        f"{shape[2] // side} positions with each other; --mid-positions none has it all the same"
    )


def too_short(e: Experiment, images: int, verb: str) -> str:
    """Whether so many images seen are too few for samples that look like something."""
    alone = e.config.distillation.teacher is None and e.base is None and e.task.word == ""
    if images >= FIRST or not (alone and of(e.data).spatial):
        return ""
    size = e.config.optimization.batch_size
    return (
        f"short: this run {verb} {images:,} images ({images // size:,} steps of {size}), and "
        f"samples are usually noise until about {FIRST:,} ({FIRST // size:,} such steps)"
    )


def few(e: Experiment) -> str:
    """Whether the data are so few that they will be learned by heart."""
    if len(e.data) >= FEW or not of(e.data).spatial or e.task.word:
        return ""
    return (
        f"few: {len(e.data):,} images are learned by heart before they are understood, and samples "
        f"become copies of them; `demist evaluate` counts these, and more images help most"
    )


def after(e: Experiment, images: int) -> str:
    """What to say of a finished run that was too short; empty if it was not."""
    return too_short(e, images, "has seen")


def beside_linear(summary: Mapping[str, Any]) -> str:
    """How good a finished autoencoder is, beside a linear code; empty of any other run."""
    if "linear_code_psnr" not in summary:
        return ""
    return (
        f"reconstructions of what it learned from: {summary['psnr']:.1f} dB; linear code of the "
        f"same size: {summary['linear_code_psnr']:.1f} dB"
    )
