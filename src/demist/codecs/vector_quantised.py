"""Images <-> the latents of an autoencoder with a codebook."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from demist.codecs.autoencoder import KLAutoencoder


class _Book(Protocol):
    """The codebook of a network."""

    def nearest(self, z: Tensor) -> Tensor:
        """Which code is nearest to each latent."""


@dataclass(frozen=True, eq=False)
class VectorQuantised(KLAutoencoder):
    """Pixels, then the latents that the encoder gives, centred and scaled; decoding quantises.

    So a model in latents sees them as they are before the codebook, and need not hit a code: its
    network puts the nearest in the place of each (Rombach et al. 2021, arXiv:2112.10752, section
    3.1). All but the codes is that of `KLAutoencoder`; there is nothing to draw.
    """

    name: ClassVar[str] = "vq"

    def codes(self, x: Tensor) -> Int[Tensor, "b h w"]:
        """Numbers of the codes of data `(B, C, H, W)`."""
        return self.codes_of(self.latents(x))

    @torch.no_grad()
    def codes_of(self, latents: Float[Tensor, "b k h w"]) -> Int[Tensor, "b h w"]:
        """Numbers of the codes that stand for latents, neither centred nor scaled."""
        book = cast(_Book, self.components["autoencoder"].get_submodule("quantize"))
        where = next(self.components["autoencoder"].parameters())
        return book.nearest(latents.to(where)).to(latents.device)
