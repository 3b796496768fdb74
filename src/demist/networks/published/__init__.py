"""Published networks, with diffusers' names of parameters and configuration.

So a folder is read without a table of names. One network a file; `layers` and `blocks` are shared.
"""

from demist.networks.published.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from demist.networks.published.autoencoder_tiny import AutoencoderTiny, AutoencoderTinyConfig
from demist.networks.published.clip_text import ClipText, transformers_config
from demist.networks.published.controlnet import ControlNet, ControlNetConfig
from demist.networks.published.dit_2d import DiT2D, DiTConfig
from demist.networks.published.flux import FluxConfig, FluxTransformer
from demist.networks.published.pixart import PixArtConfig, PixArtTransformer
from demist.networks.published.published import Published
from demist.networks.published.sd3 import SD3Config, SD3Transformer
from demist.networks.published.t2i_adapter import T2IAdapter, T2IAdapterConfig
from demist.networks.published.unet_2d import UNet2D, UNet2DConfig
from demist.networks.published.unet_2d_condition import UNet2DCondition, UNet2DConditionConfig
from demist.networks.published.vq_model import VQModel, VQModelConfig

__all__ = [
    "AutoencoderKL",
    "AutoencoderKLConfig",
    "AutoencoderTiny",
    "AutoencoderTinyConfig",
    "ClipText",
    "ControlNet",
    "ControlNetConfig",
    "DiT2D",
    "DiTConfig",
    "FluxConfig",
    "FluxTransformer",
    "PixArtConfig",
    "PixArtTransformer",
    "Published",
    "SD3Config",
    "SD3Transformer",
    "T2IAdapter",
    "T2IAdapterConfig",
    "UNet2D",
    "UNet2DCondition",
    "UNet2DConditionConfig",
    "UNet2DConfig",
    "VQModel",
    "VQModelConfig",
    "autoencoder_kl",
    "autoencoder_tiny",
    "blocks",
    "clip_text",
    "coding",
    "config",
    "controlnet",
    "dit_2d",
    "flux",
    "image_prompt",
    "joint",
    "layers",
    "pixart",
    "sd3",
    "t2i_adapter",
    "tokens",
    "transformers_config",
    "unet_2d",
    "unet_2d_condition",
    "vq_model",
]
