"""DDPM, DDIM and latent diffusion without a prompt: a U-Net, perhaps of classes."""

from typing import Any, ClassVar

from demist.codecs import Pixels
from demist.conditions import Label
from demist.errors import UsageError
from demist.interop.codecs import read_codec
from demist.interop.families.assembly import Assembly, Opened


class Always(Label):
    """A class that is always given: the network has no row for none, so guidance has no end."""

    kept: ClassVar[bool] = True

    def _index(self, value: Any) -> int:
        if value is None:
            raise UsageError(
                f"this network knows {len(self.classes)} classes and no image without one; give a "
                f"class, such as {self.classes[0]}"
            )
        return super()._index(value)


def pixels(model: Opened) -> Assembly:
    """Images as they are."""
    count = model.net.config.get("num_class_embeds")
    if not count:
        return Assembly(Pixels())
    return Assembly(Pixels(), {"label": Always(tuple(map(str, range(count))))})


def latents(model: Opened) -> Assembly:
    """Latents of an autoencoder with a codebook, not scaled."""
    return Assembly(read_codec(model.source, "vqvae" if model.source.has("vqvae") else "vae", 1.0))
