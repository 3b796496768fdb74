"""Sounds, from half an hour on one core."""

from demist.config import (
    DataConfig,
    DiffusionConfig,
    LimitsConfig,
    NetworkConfig,
    OptimizationConfig,
    OutputConfig,
    TrainConfig,
    update,
)
from demist.recipes.recipe import recipe


@recipe("spoken-digits")
def spoken_digits() -> TrainConfig:
    """Short recordings by class and speaker (columns of metadata.csv); give the data: `train PATH`.

    See `docs/sound.md` for how the Free Spoken Digit Dataset is brought into that form.
    """
    return TrainConfig(
        data=DataConfig(kind="sounds", conditions="label,speaker"),
        network=NetworkConfig(channels_per_level=(32, 64, 128)),
        limits=LimitsConfig(budget="30m"),
        output=OutputConfig(name="spoken-digits", sample_every="3m"),
    )


@recipe("spoken-digits-latent")
def spoken_digits_latent() -> TrainConfig:
    """The same in the latents of an autoencoder of spectrograms, trained first; give the data."""
    return update(
        spoken_digits.config(),
        {
            "codec": "kl",
            "codec_budget": "8m",
            "patch": 1,
            "channels_per_level": (64, 128),
            "attention_levels": (1,),
            "name": "spoken-digits-latent",
        },
    )


@recipe("spoken-digits-wave")
def spoken_digits_wave() -> TrainConfig:
    """The same on waves of half a second at 8 kHz, without spectrograms; give the data."""
    return update(
        spoken_digits.config(),
        {
            "rate": 8000,
            "seconds": 0.5,
            "codec": "wave",
            "network": "unet1d",
            "channels_per_level": (64, 96, 128, 192),
            "name": "spoken-digits-wave",
        },
    )


@recipe("loops")
def loops() -> TrainConfig:
    """Two seconds of drums, bass and melody, described in words; made by code."""
    return TrainConfig(
        data=DataConfig(path="loops", text_length=40, require_captions=True),
        network=NetworkConfig(
            channels_per_level=(32, 64, 128), attention_levels=(2,), cross_levels=(2,)
        ),
        # As of scenes: what is where is decided in strong noise.
        diffusion=DiffusionConfig(times="logit-normal:mean=0.7,std=1.2"),
        optimization=OptimizationConfig(lr=1e-3, batch_size=32),
        limits=LimitsConfig(budget="30m"),
        output=OutputConfig(sample_guidance=3.0, sample_every="3m", sample_count=12),
    )


@recipe("demo-sounds")
def demo_sounds() -> TrainConfig:
    """Single strokes and notes by instrument, made by code, in a minute."""
    return TrainConfig(
        data=DataConfig(path="one-shots"),
        limits=LimitsConfig(budget="60s"),
        output=OutputConfig(name="demo-sounds", sample_guidance=2.0),
    )
