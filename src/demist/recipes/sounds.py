"""Sounds, from half an hour on one core."""

from demist.config import (
    DataConfig,
    LimitsConfig,
    NetworkConfig,
    OutputConfig,
    TrainConfig,
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
