"""The objective of an autoencoder: how far the reconstruction is off, and what its code may say.

    loss = mean |x - x'|^p + w * mean KL(N(mu, s^2) || N(0, 1)),    p = 1 or 2,

with means over the numbers of a sample. So the weight w does not depend on the size of the images,
and x' is decoded from a draw of N(mu, s^2).

References:
    Kingma, Welling: Auto-Encoding Variational Bayes, 2013, arXiv:1312.6114, eq. 10.
"""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor

Autoencode = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Maps images and standard normal numbers to reconstruction, mean and log-variance of the code."""


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Float[Tensor, " b"]:
    """KL(N(mean, variance) || N(0, 1)), summed over the numbers of a sample, in nats: `(B,)`."""
    each = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return each.flatten(1).sum(1)


def reconstruction_error(
    x: Tensor, rebuilt: Tensor, kind: Literal["l1", "l2"] = "l2"
) -> Float[Tensor, " b"]:
    """Mean of the absolute (`l1`) or squared (`l2`) errors of a sample's numbers: `(B,)`."""
    off = (rebuilt - x).float().flatten(1)
    return (off.abs() if kind == "l1" else off.square()).mean(1)


def commitment(latents: Tensor, codes: Tensor) -> Float[Tensor, " b"]:
    """How far latents are from the codes put in their place: mean squared distance, `(B,)`.

    It moves the latents alone (van den Oord et al. 2017, arXiv:1711.00937, eq. 3, last term).
    """
    return (latents.float() - codes.detach().float()).square().flatten(1).mean(1)


def autoencoding_loss(
    net: Autoencode,
    x: Float[Tensor, "b c h w"],
    noise: Float[Tensor, "b k h_small w_small"],
    kl_weight: float = 1e-3,
    reconstruction: Literal["l1", "l2"] = "l2",
) -> Float[Tensor, " b"]:
    """The loss above, per sample.

    Args:
        net: The autoencoder.
        x: Images, `(B, C, H, W)`, scaled to [-1, 1].
        noise: Standard normal numbers of the code's shape.
        kl_weight: w; 0 leaves the code as free as it likes.
        reconstruction: `l1`: p = 1; `l2`: p = 2.

    Returns:
        `(B,)`.
    """
    rebuilt, mean, log_variance = net(x, noise)
    error = reconstruction_error(x, rebuilt, reconstruction)
    mean, log_variance = mean.float(), log_variance.float()
    return error + kl_weight * kl_divergence(mean, log_variance) / mean[0].numel()
