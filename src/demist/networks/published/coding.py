"""What the published autoencoders have in common: they are trained as our own one is."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from demist.networks.published.published import Published


class Coding(Published):
    """An autoencoder with diffusers' names, called as `net(x, noise)`.

    Attributes:
        in_channels: Of the image.
        latent_channels: Of the code.
        downsample: How many times smaller the sides of the code are.
    """

    in_channels: int
    latent_channels: int
    downsample: int

    @abstractmethod
    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, `(b, k, h / f, w / f)`, not scaled."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c hh ww"]:
        """Back to images."""

    def forward(  # type: ignore[override]  # an autoencoder knows no time
        self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b k h_small w_small"] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw a code with the standard normal `noise` (None: the mean), and decode.

        Returns:
            The reconstruction, and the mean and log-variance of the code.
        """
        mean, log_variance = self.encode(x.to(memory_format=torch.channels_last))
        z = mean if noise is None else mean + (log_variance / 2).exp() * noise
        return self.decode(z), mean, log_variance
