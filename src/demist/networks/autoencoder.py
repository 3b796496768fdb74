"""A convolutional autoencoder for images, whose code is a small image of means and variances.

    pixels -> patches -> halvings -> mean, log-variance      (encode)
    code   -> doublings -> patches -> pixels                 (decode)

Every layer is a convolution or acts on one position, so a network takes images of any size whose
sides are multiples of `downsample`.

References:
    Kingma, Welling: Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114, appendix B.
    Rombach et al.: High-Resolution Image Synthesis with Latent Diffusion Models, 2021,
        arXiv:2112.10752, section 3.1.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.layers import Downsample, Upsample, dropout_layer, group_norm, zeroed

LOG_VARIANCE = (-30.0, 20.0)
"""Range of the log-variance, so that its exponential and the KL divergence stay finite."""


class Block(nn.Module):
    """Two 3x3 convolutions, added to the input; a new block changes nothing but the width.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        norm_groups: Groups of both normalisations, as in `group_norm`.
        dropout: Probability of zeroing a feature before the last convolution.
    """

    def __init__(self, inputs: int, outputs: int, norm_groups: int | None, dropout: float):
        super().__init__()
        self.norm1 = group_norm(inputs, norm_groups)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = group_norm(outputs, norm_groups)
        self.dropout = dropout_layer(dropout)
        self.conv2 = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "b c_in h w"]) -> Float[Tensor, "b c_out h w"]:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(self.dropout(F.silu(self.norm2(y))))
        out: Tensor = self.conv_shortcut(x) + y
        return out


class Autoencoder(nn.Module):
    """Maps images (b, c, h, w) to codes (b, latent_channels, h / f, w / f) and back.

    Here f = `downsample` = patch * 2^(levels - 1).

    Args:
        in_channels: Channels of the image.
        latent_channels: Channels of the code.
        channels: Width at each level, finest first; each level halves the sides of the one before.
        blocks: Residual blocks per level on the way down; one more on the way up.
        patch: Side of the patches in which the image is read and written; 2 spares the finest
            level, which costs most.
        norm_groups: Groups of every normalisation; by default groups of 16 channels.
        dropout: Probability of dropping a feature inside a residual block, in [0, 1).
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        latent_channels: int = 4,
        channels: Sequence[int] = (32, 64),
        blocks: int = 1,
        patch: int = 2,
        norm_groups: int | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        self._config: dict[str, Any] = {
            "in_channels": in_channels,
            "latent_channels": latent_channels,
            "channels": list(channels),
            "blocks": blocks,
            "patch": patch,
            "norm_groups": norm_groups,
            "dropout": dropout,
        }
        if not channels or min(channels) < 1 or min(blocks, patch, latent_channels) < 1:
            raise UsageError(
                f"channels={list(channels)}, blocks={blocks}, patch={patch}, "
                f"latent_channels={latent_channels} is no autoencoder; give at least one of each."
            )
        first, last = channels[0], channels[-1]
        self.in_channels, self.latent_channels, self.patch = in_channels, latent_channels, patch
        self.downsample = patch * 2 ** (len(channels) - 1)

        def block(inputs: int, outputs: int) -> Block:
            return Block(inputs, outputs, norm_groups, dropout)

        down: list[nn.Module] = [nn.Conv2d(in_channels * patch**2, first, 3, padding=1)]
        here = first
        for level, wide in enumerate(channels):
            down += [block(here if i == 0 else wide, wide) for i in range(blocks)]
            down += [Downsample(wide)] if level < len(channels) - 1 else []
            here = wide
        down += [block(last, last), group_norm(last, norm_groups), nn.SiLU()]
        self.encoder = nn.Sequential(*down, nn.Conv2d(last, 2 * latent_channels, 3, padding=1))

        up: list[nn.Module] = [nn.Conv2d(latent_channels, last, 3, padding=1), block(last, last)]
        for level, wide in reversed(list(enumerate(channels))):
            up += [block(here if i == 0 else wide, wide) for i in range(blocks + 1)]
            up += [Upsample(wide)] if level > 0 else []
            here = wide
        up += [group_norm(first, norm_groups), nn.SiLU()]
        self.decoder = nn.Sequential(*up, nn.Conv2d(first, in_channels * patch**2, 3, padding=1))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them."""
        return copy.deepcopy(self._config)

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the code of each image.

        Args:
            x: Images, scaled to [-1, 1].

        Returns:
            Both (b, latent_channels, h / f, w / f); the log-variance lies in `LOG_VARIANCE`.

        Raises:
            UsageError: Channels or sides that the network was not built for.
        """
        _, channels, height, width = x.shape
        if channels != self.in_channels:
            raise UsageError(
                f"The images have {channels} channels but the autoencoder was built for "
                f"{self.in_channels}; convert them or set in_channels."
            )
        if height % self.downsample or width % self.downsample:
            raise UsageError(
                f"Images of {height}x{width} cannot be made {self.downsample} times smaller; "
                f"use sides that are multiples of {self.downsample}, or a smaller downsample."
            )
        x = F.pixel_unshuffle(x, self.patch).to(memory_format=torch.channels_last)
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean.contiguous(), log_variance.clamp(*LOG_VARIANCE).contiguous()

    def decode(self, z: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c h_big w_big"]:
        """Images of codes; nothing keeps them in [-1, 1]."""
        z = z.to(memory_format=torch.channels_last)
        return F.pixel_shuffle(self.decoder(z), self.patch).contiguous()

    def forward(
        self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b k h_small w_small"] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw a code with the standard normal `noise` (None: the mean), and decode.

        Returns:
            The reconstruction, and the mean and log-variance of the code.
        """
        mean, log_variance = self.encode(x)
        z = mean if noise is None else mean + (log_variance / 2).exp() * noise
        return self.decode(z), mean, log_variance
