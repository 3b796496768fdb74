"""Networks: `UNet` and `DiT` for images, `MLP` for points. Called as `net(x, t, label, **cond)`.

`UNet2DNetwork` is the U-Net that diffusers has, without conditions; `SDNetwork` that of Stable
Diffusion, `MMDiTNetwork` the transformer of Stable Diffusion 3.

`Clip` puts images and prompts into one space.

`Autoencoder` makes a small code of an image, for `demist.codecs.KLAutoencoder`.
"""

from demist.networks.attention import (
    Control,
    Mix,
    attend,
    attention_maps,
    controlled,
    heads,
    joined,
    mixed,
    probabilities,
    written_out,
)
from demist.networks.autoencoder import Autoencoder, Block
from demist.networks.clip import Clip, ImageTower
from demist.networks.conditioning import (
    WAVES,
    ConditionEmbedding,
    Ready,
    Routed,
    Sized,
    Specs,
    Words,
    by_name,
    first_classes,
    joined_parts,
    silence,
    silenced,
    token_width,
)
from demist.networks.cross import CrossAttention
from demist.networks.discriminator import Discriminator
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
    side_by_side,
    sinusoid,
    zeroed,
)
from demist.networks.linear_start import start_linear
from demist.networks.mlp import MLP, MLPBlock
from demist.networks.mmdit import VECTORS, MMDiTNetwork
from demist.networks.moving_codebook import MovingCodebook, Usage, spread
from demist.networks.network import NETWORKS, Network, require_channels, require_halvings
from demist.networks.sd import POSITIONS, SDNetwork
from demist.networks.text import (
    TOWERS,
    TextBlock,
    TextTransformer,
    Tower,
    TwoTowers,
    tower_of,
    widths_of,
)
from demist.networks.told import Prompt, Telling, Told
from demist.networks.unet import UNet
from demist.networks.unet_1d import Double, Halve, UNet1D, in_line, in_parts
from demist.networks.unet_2d import UNet2DNetwork, check_levels, groups_of
from demist.networks.unet_blocks import DownBlock, MidBlock, UpBlock, ladder
from demist.networks.vgg16 import VGG16
from demist.networks.widening import Widened, widened

__all__ = [
    "MLP",
    "NETWORKS",
    "POSITIONS",
    "TOWERS",
    "VECTORS",
    "VGG16",
    "WAVES",
    "Attention",
    "Autoencoder",
    "Block",
    "Clip",
    "ConditionEmbedding",
    "Control",
    "CrossAttention",
    "DiT",
    "Discriminator",
    "Double",
    "DownBlock",
    "Downsample",
    "Encoder",
    "Halve",
    "ImageTower",
    "JointBlock",
    "MLPBlock",
    "MMDiTNetwork",
    "MidBlock",
    "Mix",
    "MovingCodebook",
    "Network",
    "Prompt",
    "Ready",
    "ResBlock",
    "Routed",
    "SDNetwork",
    "Sized",
    "Specs",
    "Stream",
    "Telling",
    "TextBlock",
    "TextTransformer",
    "TimeEmbedding",
    "Told",
    "Tower",
    "TwoTowers",
    "UNet",
    "UNet1D",
    "UNet2DNetwork",
    "UpBlock",
    "Upsample",
    "Usage",
    "Widened",
    "Words",
    "add_class",
    "attend",
    "attention_maps",
    "by_name",
    "check_levels",
    "class_table",
    "controlled",
    "dropout_layer",
    "embedding",
    "first_classes",
    "group_norm",
    "groups_of",
    "heads",
    "in_line",
    "in_parts",
    "joined",
    "joined_parts",
    "ladder",
    "look_up",
    "mixed",
    "modulated",
    "positions",
    "probabilities",
    "require_channels",
    "require_halvings",
    "side_by_side",
    "silence",
    "silenced",
    "sinusoid",
    "spread",
    "start_linear",
    "token_width",
    "tower_of",
    "widened",
    "widths_of",
    "written_out",
    "zeroed",
]
