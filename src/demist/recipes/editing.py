"""Models that change images, learned from pairs of your own; see `demist make-pairs` for some."""

from demist.config import (
    DataConfig,
    DiffusionConfig,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    TrainConfig,
    update,
)
from demist.recipes.recipe import recipe

ENLARGING = {
    # Few channels at each of all pixels: of more at a quarter of the places, noise is left.
    "channels_per_level": (16, 32, 64),
    "attention_levels": (),
    "batch_size": 16,
    "times": "logit-normal",
}
"""Options of a U-Net that makes images of up to 64 pixels larger, in minutes."""


def beside(conditions: str) -> TrainConfig:
    """A U-Net for images up to 64 pixels, told what is beside them."""
    return TrainConfig(
        data=DataConfig(conditions=conditions, text_length=24),
        network=NetworkConfig(
            channels_per_level=(32, 64, 128), attention_levels=(1,), cross_levels=(1, 2)
        ),
        # What is where is decided in strong noise, and words are learned from nothing else.
        diffusion=DiffusionConfig(times="logit-normal:mean=0.5,std=1.2"),
        optimization=OptimizationConfig(lr=1e-3, batch_size=64),
        limits=LimitsConfig(budget="30m"),
    )


@recipe("instruct")
def instruct() -> TrainConfig:
    """Follow instructions on images (columns source and instruction); give the data: `train PATH`.

    As in InstructPix2Pix each of the two is hidden alone in 5 of 100 samples, both in 5 more, so
    that each has a scale of guidance.
    """
    return update(
        beside("(source:drop=0.1,group=~edit),(instruction:drop=0.1,group=~edit)"),
        {"sample_rule": "dual", "sample_guidance": 1.5, "name": "instruct"},
    )


@recipe("inpaint")
def inpaint() -> TrainConfig:
    """Fill holes (column mask, else boxes and strokes that are drawn); give the data: `train PATH`.

    Guidance leads from the image with its hole to the same with the prompt or class, if the data
    has such.
    """
    return update(
        beside("usual,masked"),
        {"sample_rule": "dual:first_scale=1", "sample_guidance": 3.0, "name": "inpaint"},
    )


@recipe("upscale")
def upscale() -> TrainConfig:
    """Make images 4 times larger, as SR3 (column low, else made of them); give the data.

    Sampled with fresh noise in every step, which takes away some of what a network has left in.
    """
    return update(
        beside("(low-resolution:factor=4,noise=0.2,drop=0)"),
        {**ENLARGING, "sample_guidance": 1.0, "sample_solver": "ddim:eta=1", "name": "upscale"},
    )
