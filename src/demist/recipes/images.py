"""Image runs, from minutes on a processor to hours on an accelerator."""

from dataclasses import replace

from demist.config import (
    AUTOENCODER,
    DataConfig,
    DiffusionConfig,
    DistillationConfig,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    OutputConfig,
    TrainConfig,
)
from demist.recipes.recipe import recipe


@recipe("digits")
def digits() -> TrainConfig:
    """Handwritten digits by class, on the data that comes with the package."""
    return TrainConfig()


@recipe("demo")
def demo() -> TrainConfig:
    """The same in two and a half minutes."""
    return TrainConfig(
        limits=LimitsConfig(budget="150s"), output=OutputConfig(name="demo", sample_guidance=2.0)
    )


@recipe("student")
def student() -> TrainConfig:
    """Digits in two evaluations instead of many, learned from the model that comes along."""
    return TrainConfig(
        distillation=DistillationConfig(teacher="digits", student_rate=0.1),
        optimization=OptimizationConfig(lr=1e-3),
        limits=LimitsConfig(budget="14m"),
        output=OutputConfig(name="student", sample_every="3m"),
    )


@recipe("cifar10")
def cifar10() -> TrainConfig:
    """Colour images of 32 by 32 pixels by class; give the data: `demist train PATH`."""
    return TrainConfig(
        data=DataConfig(size=32, channels=3, flip=True),
        network=NetworkConfig(
            channels_per_level=(128, 256, 256),
            blocks_per_level=2,
            attention_levels=(1,),
            patch=1,
            dropout=0.1,
        ),
        optimization=OptimizationConfig(lr=4e-4, warmup=1000, ema=0.9995),
        limits=LimitsConfig(steps=200_000),
        output=OutputConfig(save_every="10m", sample_every="10m"),
    )


@recipe("images64")
def images64() -> TrainConfig:
    """Colour images of 64 by 64 pixels; give the data: `demist train PATH`."""
    return TrainConfig(
        data=DataConfig(size=64, channels=3, flip=True),
        network=NetworkConfig(
            channels_per_level=(128, 256, 384),
            blocks_per_level=2,
            attention_levels=(1, 2),
            dropout=0.1,
        ),
        optimization=OptimizationConfig(lr=3e-4, warmup=1000, ema=0.9995),
        limits=LimitsConfig(steps=200_000),
        output=OutputConfig(save_every="10m", sample_every="10m", sample_count=25),
    )


@recipe("scenes")
def scenes() -> TrainConfig:
    """Coloured digits in scenes described in words, 32 by 32 pixels; made by code."""
    return TrainConfig(
        data=DataConfig(path="scenes", text_length=40, require_captions=True),
        network=NetworkConfig(
            channels_per_level=(32, 64, 128), attention_levels=(1,), cross_levels=(1, 2)
        ),
        # What is where is decided in strong noise, and words are learned from nothing else.
        diffusion=DiffusionConfig(times="logit-normal:mean=0.7,std=1.2"),
        optimization=OptimizationConfig(lr=1e-3, batch_size=64),
        limits=LimitsConfig(budget="30m"),
        output=OutputConfig(sample_guidance=3.0, sample_every="3m"),
    )


@recipe("captions")
def captions() -> TrainConfig:
    """Small images with captions (metadata.jsonl beside them); give the data: `train PATH`."""
    return TrainConfig(
        data=DataConfig(size=32, channels=3, labels=False, text_length=24, require_captions=True),
        network=NetworkConfig(channels_per_level=(64, 128), attention_levels=(1,)),
        optimization=OptimizationConfig(lr=1e-3, batch_size=64),
        limits=LimitsConfig(budget="30m"),
        output=OutputConfig(sample_guidance=3.0),
    )


@recipe("autoencoder")
def autoencoder() -> TrainConfig:
    """An autoencoder, in whose latents others learn: afterwards `demist train PATH --codec RUN`."""
    return replace(
        AUTOENCODER,
        latents=replace(AUTOENCODER.latents, codec="kl"),
        output=OutputConfig(name="autoencoder"),
    )


@recipe("clip")
def clip() -> TrainConfig:
    """A small CLIP of images with captions; finds the image of a text, and measures models."""
    return TrainConfig(
        data=DataConfig(labels=False, text_length=40),
        network=NetworkConfig(network="clip", channels_per_level=(32, 64, 128)),
        optimization=OptimizationConfig(precision="fp32"),
        limits=LimitsConfig(budget="5m"),
        output=OutputConfig(name="clip"),
    )


@recipe("ddpm")
def ddpm() -> TrainConfig:
    """Digits of no class, in the form of diffusers: `demist export RUN OUT --format diffusers`."""
    return TrainConfig(
        data=DataConfig(labels=False, captions=False),
        network=NetworkConfig(network="unet2d"),
        diffusion=DiffusionConfig(
            schedule="ddpm-linear",
            parameterization="eps",
            clock="index",
            times="uniform",
            weight="simple",
        ),
        limits=LimitsConfig(budget="10m"),
        output=OutputConfig(name="ddpm"),
    )
