"""A quick look at latents: each of their pixels has a colour, by a linear map.

Fitted by least squares to images made as small as their latents. Sharp it is not, but decoding
costs thousands of times more; for an autoencoder that is linear itself it is exact.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Colours = tuple[tuple[float, ...], ...]
"""For each channel of the image the weights of the latents' channels, then what is added."""

ROWS = 2**17
"""Pixels of latents to fit to, at most."""


def fit_colours(latents: Float[Tensor, "N k h w"], images: Float[Tensor, "N C H W"]) -> Colours:
    """The map from latents to the means of their images over the pixels that each stands for.

    Args:
        latents: At least one.
        images: In units of pixels, sides multiples of the latents'.
    """
    most = max(1, ROWS // latents[0, 0].numel())
    latents, images = latents[:most], images[:most]
    small = F.avg_pool2d(images.double(), images.shape[-1] // latents.shape[-1])
    z = latents.double().movedim(1, -1).flatten(0, 2)
    wanted = small.movedim(1, -1).flatten(0, 2)
    # Of centred numbers, so that a channel that never changes gets no weight.
    z_mean, mean = z.mean(0), wanted.mean(0)
    weights = torch.linalg.lstsq((z - z_mean).cpu(), (wanted - mean).cpu(), driver="gelsd").solution
    added = mean.cpu() - z_mean.cpu() @ weights
    return tuple(map(tuple, torch.cat([weights.T, added[:, None]], 1).tolist()))


def small_images(colours: Colours, latents: Float[Tensor, "B k h w"]) -> Float[Tensor, "B C h w"]:
    """Latents as small images, in units of pixels."""
    table = torch.tensor(colours, dtype=latents.dtype, device=latents.device)
    weights, added = table[:, :-1], table[:, -1]
    return torch.einsum("ck,bkhw->bchw", weights, latents) + added[:, None, None]
