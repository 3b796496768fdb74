"""Networks: `UNet` and `DiT` for images, `MLP` for points. Called as `net(x, t, label, **cond)`.

`UNet2DNetwork` is the U-Net that diffusers has, without conditions.

`Autoencoder` makes a small code of an image, for `demist.codecs.KLAutoencoder`.
"""

from demist.networks.attention import attend, attention_maps, heads, joined
from demist.networks.autoencoder import Autoencoder, Block
from demist.networks.conditioning import (
    ConditionEmbedding,
    Ready,
    Routed,
    Specs,
    Words,
    first_classes,
    token_width,
)
from demist.networks.cross import CrossAttention
from demist.networks.dit import DiT, JointBlock, Stream, modulated, positions
from demist.networks.encoder import Encoder
from demist.networks.layers import (
    Attention,
    Downsample,
    ResBlock,
    TimeEmbedding,
    Upsample,
    add_class,
    class_table,
    dropout_layer,
    embedding,
    group_norm,
    look_up,
    sinusoid,
    zeroed,
)
from demist.networks.mlp import MLP, MLPBlock
from demist.networks.network import NETWORKS, Network
from demist.networks.text import TextBlock, TextTransformer
from demist.networks.unet import UNet
from demist.networks.unet_2d import UNet2DNetwork
from demist.networks.unet_blocks import DownBlock, MidBlock, UpBlock

__all__ = [
    "MLP",
    "NETWORKS",
    "Attention",
    "Autoencoder",
    "Block",
    "ConditionEmbedding",
    "CrossAttention",
    "DiT",
    "DownBlock",
    "Downsample",
    "Encoder",
    "JointBlock",
    "MLPBlock",
    "MidBlock",
    "Network",
    "Ready",
    "ResBlock",
    "Routed",
    "Specs",
    "Stream",
    "TextBlock",
    "TextTransformer",
    "TimeEmbedding",
    "UNet",
    "UNet2DNetwork",
    "UpBlock",
    "Upsample",
    "Words",
    "add_class",
    "attend",
    "attention_maps",
    "class_table",
    "dropout_layer",
    "embedding",
    "first_classes",
    "group_norm",
    "heads",
    "joined",
    "look_up",
    "modulated",
    "positions",
    "sinusoid",
    "token_width",
    "zeroed",
]
