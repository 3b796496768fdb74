"""The autoencoder with a codebook of latent diffusion: diffusers' VQModel.

References:
    van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import DataError
from demist.networks.layers import embedding
from demist.networks.published.autoencoder_kl import DOWN, UP, Half
from demist.networks.published.coding import Coding
from demist.networks.published.config import each


@dataclass(frozen=True)
class VQModelConfig:
    """Keys and defaults of VQModel's config.json; see its documentation."""

    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    act_fn: str = "silu"
    latent_channels: int = 3
    sample_size: int | tuple[int, ...] = 32
    num_vq_embeddings: int = 256
    norm_num_groups: int = 32
    vq_embed_dim: int | None = None
    scaling_factor: float = 0.18215
    norm_type: str = "group"
    mid_block_add_attention: bool = True
    lookup_from_codebook: bool = False
    force_upcast: bool = False


class Codebook(nn.Module):
    """K vectors; each pixel of a map becomes the nearest of them."""

    def __init__(self, count: int, width: int):
        super().__init__()
        self.embedding = embedding(count, width)

    def nearest(self, z: Float[Tensor, "b c h w"]) -> Int[Tensor, "b h w"]:
        """Which vector is the nearest."""
        rows = z.permute(0, 2, 3, 1).flatten(0, 2)
        found = torch.cdist(rows, self.embedding.weight).argmin(1)
        return found.reshape(len(z), *z.shape[2:])

    def forward(self, z: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        y: Tensor = self.embedding(self.nearest(z)).permute(0, 3, 1, 2)
        return y.contiguous()


class VQModel(Coding):
    """Images in [-1, 1] to latents, which decoding replaces by those of a codebook.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for blocks or norms that are not known.
    """

    kind: ClassVar[str] = "VQModel"
    folder: ClassVar[str] = "vqvae"
    config_class: ClassVar[type[Any]] = VQModelConfig

    def __init__(self, config: VQModelConfig):
        super().__init__(config)
        if config.norm_type != "group":
            raise DataError(f"{self.kind} has norm_type = {config.norm_type!r}; known is group")
        levels, k = len(config.block_out_channels), config.latent_channels
        downs = [self._known(DOWN, n) for n in each(config.down_block_types, levels, "blocks")]
        ups = [self._known(UP, n) for n in each(config.up_block_types, levels, "up_block_types")]
        shared = (config.norm_num_groups, config.act_fn)
        middle, channels = config.mid_block_add_attention, config.block_out_channels
        blocks, width = config.layers_per_block, config.vq_embed_dim or k
        self.encoder = Half(config.in_channels, channels, k, blocks, downs, *shared, False, middle)
        self.quant_conv = nn.Conv2d(k, width, 1)
        self.quantize = Codebook(config.num_vq_embeddings, width)
        self.post_quant_conv = nn.Conv2d(width, k, 1)
        self.decoder = Half(
            k, channels, config.out_channels, blocks + 1, ups, *shared, True, middle
        )
        self.in_channels, self.latent_channels = config.in_channels, width
        self.downsample = 2 ** (levels - 1)

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Latents `(b, k, h / f, w / f)`, not yet of the codebook, and a log-variance of -30."""
        mean = self.quant_conv(self.encoder(x))
        return mean, torch.full_like(mean, -30.0)

    def decode(self, z: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c hh ww"]:
        """The image of the nearest latents in the codebook."""
        return self.paint(self.quantize(z))

    def paint(self, codes: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c hh ww"]:
        """The image of latents as they are, which should be of the codebook."""
        x: Tensor = self.decoder(self.post_quant_conv(codes))
        return x
