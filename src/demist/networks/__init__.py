"""Networks: `UNet` and `DiT` for images, `MLP` for points. Called as `net(x, t, label, **cond)`.

`Autoencoder` makes a small code of an image, for `demist.codecs.KLAutoencoder`.
"""

from demist.networks.attention import attention_maps
from demist.networks.autoencoder import Autoencoder
from demist.networks.dit import DiT
from demist.networks.mlp import MLP
from demist.networks.unet import UNet

__all__ = ["MLP", "Autoencoder", "DiT", "UNet", "attention_maps"]
