"""Networks: `UNet` for images, `MLP` for points. Called as `net(x, t, label)`."""

from demist.networks.mlp import MLP
from demist.networks.unet import UNet

__all__ = ["MLP", "UNet"]
