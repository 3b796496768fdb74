"""The autoencoder of a model, as a codec."""

from pathlib import Path

from demist.codecs import ChannelScale, KLAutoencoder
from demist.errors import DataError
from demist.interop.replaced import autoencoder_in
from demist.interop.source import Source
from demist.networks.published import AutoencoderKL, AutoencoderTiny, VQModel


def read_codec(source: Source, name: str, scale: float | None = None) -> KLAutoencoder:
    """Images <-> latents in units of the model.

    Args:
        source: The model.
        name: Of the component.
        scale: What the latents are multiplied by, where the configuration does not say.

    Raises:
        DataError: It is no autoencoder that is known.
    """
    net, where = source.network(name), source.where(name)
    if not isinstance(net, AutoencoderKL | AutoencoderTiny | VQModel):
        raise DataError(f"{where} is a {net.kind}, and no autoencoder")
    config = source.config(name)
    given = config.get("scaling_factor", scale)
    factor = given if given is not None else net.config["scaling_factor"]
    shift = config.get("shift_factor") or 0.0
    if not isinstance(factor, int | float) or not isinstance(shift, int | float) or factor <= 0:
        raise DataError(f"{where} scales its latents by {factor!r} after {shift!r}")
    said = {key: config.get(key) for key in ("shift_factor", "latents_mean", "latents_std")}
    try:
        scaled = ChannelScale.of_published({**said, "scaling_factor": factor}, net.latent_channels)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} does not say the scale of its latents: {error}") from None
    return KLAutoencoder(net, scale=scaled, at_once=1)


def codec_of_folder(folder: Path) -> KLAutoencoder:
    """The codec of an autoencoder's folder, or of a whole model's that has one.

    Raises:
        MissingError: There is none.
        DataError: It is damaged, or of a class that is not known.
    """
    return read_codec(*autoencoder_in(folder))
