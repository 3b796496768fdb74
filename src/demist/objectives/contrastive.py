r"""The objective of CLIP: of all pairs of a batch, find those that belong together.

.. math::
    l_i = -\tfrac12 \log \mathrm{softmax}_j(s\, a_i \cdot b_j)_i
          -\tfrac12 \log \mathrm{softmax}_j(s\, b_i \cdot a_j)_i

with unit vectors a of images and b of texts, and a learned scale s.

References:
    Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021,
        arXiv:2103.00020, figure 3.
    van den Oord et al.: Representation Learning with Contrastive Predictive Coding, 2018,
        arXiv:1807.03748, eq. 4.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def contrastive_loss(
    images: Float[Tensor, "b d"],
    texts: Float[Tensor, "b d"],
    scale: Float[Tensor, ""],
    all_images: Float[Tensor, "n d"] | None = None,
    all_texts: Float[Tensor, "n d"] | None = None,
    first: int = 0,
) -> Float[Tensor, " b"]:
    """The loss of each pair, `(B,)`.

    Args:
        images: Unit vectors of images.
        texts: Of their texts.
        scale: Of the cosines.
        all_images: Of the whole batch, where `images` are a share of it; None: they are all.
        all_texts: Likewise.
        first: Where in the whole batch the share begins.
    """
    all_images = images if all_images is None else all_images
    all_texts = texts if all_texts is None else all_texts
    own = torch.arange(first, first + len(images), device=images.device)
    by_image = F.cross_entropy(scale * images @ all_texts.T, own, reduction="none")
    by_text = F.cross_entropy(scale * texts @ all_images.T, own, reduction="none")
    return (by_image + by_text) / 2
