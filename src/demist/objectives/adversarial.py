"""A critic learns to tell reconstructions from images, and the autoencoder to make it fail.

With D the critic's scores of the patches of an image, high for real ones, the hinge losses are

    critic:       mean (max(0, 1 - D(x)) + max(0, 1 + D(x'))) / 2,
    autoencoder:  -mean D(x').

The latter is weighted by the ratio of what both losses ask of the decoder's last layer,

    lambda = |grad of the reconstruction's loss| / (|grad of the adversarial loss| + 1e-6),

so that neither drowns the other, whatever the images are. Of which batches, see
`demist.training.terms.adversarial`.

References:
    Lim, Ye 2017, "Geometric GAN", arXiv:1705.02894 (hinge losses).
    Esser et al. 2021, "Taming Transformers for High-Resolution Image Synthesis",
        arXiv:2012.09841, eq. 7.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MOST = 1e4
"""Largest lambda."""


def critic_loss(real: Float[Tensor, "b *n"], fake: Float[Tensor, "b *n"]) -> Float[Tensor, " b"]:
    """The critic's loss of its scores of images and of their reconstructions."""
    off = F.relu(1 - real.float()) + F.relu(1 + fake.float())
    return off.flatten(1).mean(1) / 2


def fooling_loss(fake: Float[Tensor, "b *n"]) -> Float[Tensor, " b"]:
    """The autoencoder's loss of the scores of its reconstructions."""
    return -fake.float().flatten(1).mean(1)


def balance(reconstruction: Tensor, adversarial: Tensor) -> Float[Tensor, ""]:
    """lambda, from the gradients of the two losses with respect to the decoder's last layer."""
    ratio = torch.linalg.vector_norm(reconstruction) / (
        torch.linalg.vector_norm(adversarial) + 1e-6
    )
    held: Tensor = ratio.clamp(0, MOST)
    return held
