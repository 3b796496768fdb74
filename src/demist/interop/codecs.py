"""The autoencoder of a folder, as a codec."""

from pathlib import Path

from demist.codecs import ChannelScale, Codec, KLAutoencoder
from demist.errors import DataError
from demist.interop.weights import open_network
from demist.io.files import read_json
from demist.io.untrusted import inside
from demist.networks.published import AutoencoderKL, AutoencoderTiny, VQModel


def read_codec(folder: Path, name: str, scale: float | None = None) -> Codec:
    """Images <-> latents in units of the model.

    Args:
        folder: The model.
        name: Of the component.
        scale: What the latents are multiplied by, where the configuration does not say.

    Raises:
        DataError: It is no autoencoder that is known.
    """
    net = open_network(folder, name)
    if not isinstance(net, AutoencoderKL | AutoencoderTiny | VQModel):
        raise DataError(f"{folder / name} is a {net.kind}, and no autoencoder")
    config = read_json(inside(folder, f"{name}/config.json" if name else "config.json"))
    given = config.get("scaling_factor", scale)
    factor = given if given is not None else net.config["scaling_factor"]
    shift = config.get("shift_factor") or 0.0
    if not isinstance(factor, int | float) or not isinstance(shift, int | float) or factor <= 0:
        raise DataError(f"{folder / name} scales its latents by {factor!r} after {shift!r}")
    shifts = (float(shift),) * net.latent_channels if shift else ()
    return KLAutoencoder(net, scale=ChannelScale(shifts, float(factor)), at_once=1)
