"""DDPM, DDIM and latent diffusion without a prompt: a U-Net, perhaps of classes."""

from demist.codecs import Pixels
from demist.conditions import Label
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened


def pixels(model: Opened) -> Assembly:
    """Images as they are."""
    count = model.net.config.get("num_class_embeds")
    if not count:
        return Assembly(Pixels())
    return Assembly(Pixels(), {"label": Label(tuple(map(str, range(count))))}, {"guidance": 4.0})


def latents(model: Opened) -> Assembly:
    """Latents of an autoencoder with a codebook, not scaled."""
    return Assembly(read_codec(model.source, "vqvae" if model.source.has("vqvae") else "vae", 1.0))
