"""A small CLIP: an image and a text become vectors of one space, near if they belong together.

References:
    Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021,
        arXiv:2103.00020, section 2.3 and figure 3.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.autoencoder import Block
from demist.networks.layers import Downsample, group_norm
from demist.networks.published.clip_text import ClipText

FIRST, MOST = math.log(1 / 0.07), math.log(100)
"""Logarithm of the scale of cosines, one over the temperature: at first, and at most."""


class ImageTower(nn.Module):
    """Residual blocks, each level with half the sides of the one before; then one matrix.

    All places of the last level enter that matrix, so the vector can say what is where.
    """

    def __init__(
        self, in_channels: int, size: Sequence[int], channels: Sequence[int], blocks: int,
        patch: int, outputs: int, norm_groups: int | None,
    ):  # fmt: skip
        super().__init__()
        factor = patch * 2 ** (len(channels) - 1)
        if any(side % factor for side in size):
            raise UsageError(
                f"images of {size[0]}x{size[1]} cannot be made {factor} times smaller; use sides "
                f"that are multiples of {factor}, or fewer --channels-per-level"
            )
        self.patch, here = patch, channels[0]
        layers: list[nn.Module] = [nn.Conv2d(in_channels * patch**2, here, 3, padding=1)]
        for level, wide in enumerate(channels):
            layers += [Downsample(here)] if level else []
            layers += [Block(here if i == 0 else wide, wide, norm_groups, 0) for i in range(blocks)]
            here = wide
        self.layers = nn.Sequential(*layers, group_norm(here, norm_groups), nn.SiLU())
        places = (size[0] // factor) * (size[1] // factor)
        self.visual_projection = nn.Linear(here * places, outputs, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        x = F.pixel_unshuffle(x, self.patch).to(memory_format=torch.channels_last)
        y: Tensor = self.visual_projection(self.layers(x).flatten(1))
        return y


class Clip(nn.Module):
    """Maps images `(b, c, h, w)` in [-1, 1] and prompts `(b, m)` to unit vectors `(b, width)`.

    Args:
        in_channels: Channels of the images.
        size: Their height and width, pixels.
        channels: Of the image tower at each level, finest first; each level halves the sides.
        blocks: Residual blocks per level.
        patch: Side of the patches in which pixels enter.
        norm_groups: Groups of every normalisation, as in `group_norm`.
        width: Numbers in a vector.
        vocabulary: Tokens that the text tower knows.
        length: Longest prompt in tokens.
        text_width: Of the text tower.
        text_depth: Its layers.
    """

    def __init__(
        self, *, in_channels: int = 3, size: Sequence[int] = (32, 32),
        channels: Sequence[int] = (32, 64, 128), blocks: int = 1, patch: int = 2,
        norm_groups: int | None = None, width: int = 128, vocabulary: int = 1000,
        length: int = 32, text_width: int = 128, text_depth: int = 2,
    ):  # fmt: skip
        super().__init__()
        self._config = {
            "in_channels": in_channels,
            "size": list(size),
            "channels": list(channels),
            "blocks": blocks,
            "patch": patch,
            "norm_groups": norm_groups,
            "width": width,
            "vocabulary": vocabulary,
            "length": length,
            "text_width": text_width,
            "text_depth": text_depth,
        }
        self.image = ImageTower(in_channels, size, channels, blocks, patch, width, norm_groups)
        self.text = ClipText(vocabulary, length, text_width, text_depth, width)
        self.logit_scale = nn.Parameter(torch.tensor(FIRST))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them."""
        return copy.deepcopy(self._config)

    def fitted(self, x: Float[Tensor, "b k m n"]) -> Float[Tensor, "b c h w"]:
        """Images of any size and of 1, 3 or 4 channels as the image tower takes them."""
        config = self.config
        channels, size = config["in_channels"], tuple(config["size"])
        if x.shape[1] == 4:
            x = x[:, :3]
        if x.shape[1] != channels:
            x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        if tuple(x.shape[2:]) != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True, align_corners=False)
        return x

    def see(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Unit vectors of images."""
        return F.normalize(self.image(x).float(), dim=1)

    def read(self, tokens: Int[Tensor, "b m"]) -> Float[Tensor, "b d"]:
        """Unit vectors of prompts."""
        return F.normalize(self.text(tokens)[1].float(), dim=1)

    def forward(
        self, x: Float[Tensor, "b c h w"], tokens: Int[Tensor, "b m"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of images and of prompts, and the scale of their cosines.

        While training, a scale that has grown beyond 100 is set to 100 first.
        """
        if self.training:
            with torch.no_grad():
                self.logit_scale.clamp_(max=MOST)
        return self.see(x), self.read(tokens), self.logit_scale.exp()
