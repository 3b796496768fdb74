"""The autoencoder of Stable Diffusion and its kin: diffusers' AutoencoderKL."""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from demist.networks.published.blocks import Level, Middle, down_widths, levels_of, pixel_attention
from demist.networks.published.coding import Coding
from demist.networks.published.config import each
from demist.networks.published.layers import Downsample, Style, Upsample

DOWN = {"DownEncoderBlock2D": False, "AttnDownEncoderBlock2D": True}
UP = {"UpDecoderBlock2D": False, "AttnUpDecoderBlock2D": True}


@dataclass(frozen=True)
class AutoencoderKLConfig:
    """Keys and defaults of AutoencoderKL's config.json; see its documentation."""

    in_channels: int = 3
    out_channels: int = 3
    down_block_types: tuple[str, ...] = ("DownEncoderBlock2D",)
    up_block_types: tuple[str, ...] = ("UpDecoderBlock2D",)
    block_out_channels: tuple[int, ...] = (64,)
    layers_per_block: int = 1
    act_fn: str = "silu"
    latent_channels: int = 4
    norm_num_groups: int = 32
    sample_size: int | tuple[int, ...] = 32
    scaling_factor: float = 0.18215
    shift_factor: float | None = None
    latents_mean: tuple[float, ...] | None = None
    latents_std: tuple[float, ...] | None = None
    force_upcast: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True


class Half(nn.Module):
    """An encoder or decoder: levels between two convolutions.

    Args:
        inputs: Channels in.
        channels: Of each level, from the image to the latents.
        outputs: Channels out.
        blocks: Residual blocks of each level.
        attends: Whether each level has attention.
        groups: Of the norms.
        act: The activation of the blocks.
        decodes: Whether it goes up.
        middle: Whether there is attention in the middle.
    """

    def __init__(
        self,
        inputs: int,
        channels: tuple[int, ...],
        outputs: int,
        blocks: int,
        attends: list[bool],
        groups: int,
        act: str,
        decodes: bool,
        middle: bool,
    ):
        super().__init__()
        style = Style(0, groups, 1e-6, act, downsample_padding=0)
        attend = pixel_attention(style, None)
        self.decodes = decodes
        first, last = (channels[-1], channels[0]) if decodes else (channels[0], channels[-1])
        wide = tuple(reversed(channels)) if decodes else channels
        self.conv_in = nn.Conv2d(inputs, first, 3, padding=1)
        levels = []
        for i, widths in enumerate(down_widths(wide, [blocks] * len(wide))):
            change = i < len(wide) - 1
            levels.append(
                Level(
                    widths,
                    style,
                    attend if attends[i] else None,
                    down=Downsample(wide[i], 0) if change and not decodes else None,
                    up=Upsample(wide[i]) if change and decodes else None,
                )
            )
        self.mid_block = Middle(channels[-1], style, [attend(channels[-1]) if middle else None])
        self.levels = "up_blocks" if decodes else "down_blocks"
        self.add_module(self.levels, nn.ModuleList(levels))
        self.conv_norm_out = nn.GroupNorm(groups, last, 1e-6)
        self.act = nn.SiLU()  # whatever the blocks have
        self.conv_out = nn.Conv2d(last, outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k hh ww"]:
        x = self.conv_in(x)
        x = self.mid_block(x) if self.decodes else x
        for level in levels_of(self.get_submodule(self.levels)):
            x = level.change(level.steps(x)[-1])
        x = x if self.decodes else self.mid_block(x)
        y: Tensor = self.conv_out(self.act(self.conv_norm_out(x)))
        return y


class AutoencoderKL(Coding):
    """Images in [-1, 1] to mean and log-variance of latents, and back.

    Args:
        config: What it is.

    Raises:
        DataError: It asks for blocks that are not known.
    """

    kind: ClassVar[str] = "AutoencoderKL"
    folder: ClassVar[str] = "vae"
    config_class: ClassVar[type[Any]] = AutoencoderKLConfig

    def __init__(self, config: AutoencoderKLConfig):
        super().__init__(config)
        levels, k = len(config.block_out_channels), config.latent_channels
        downs = [self._known(DOWN, n) for n in each(config.down_block_types, levels, "blocks")]
        ups = [self._known(UP, n) for n in each(config.up_block_types, levels, "up_block_types")]
        shared = (config.norm_num_groups, config.act_fn)
        middle = config.mid_block_add_attention
        self.encoder = Half(
            config.in_channels, config.block_out_channels, 2 * k, config.layers_per_block,
            downs, *shared, False, middle,
        )  # fmt: skip
        self.decoder = Half(
            k, config.block_out_channels, config.out_channels, config.layers_per_block + 1,
            ups, *shared, True, middle,
        )  # fmt: skip
        self.quant_conv = nn.Conv2d(2 * k, 2 * k, 1) if config.use_quant_conv else None
        self.post_quant_conv = nn.Conv2d(k, k, 1) if config.use_post_quant_conv else None
        self.in_channels, self.latent_channels = config.in_channels, k
        self.downsample = 2 ** (levels - 1)

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, `(b, k, h / f, w / f)`, not scaled."""
        y = self.encoder(x)
        y = y if self.quant_conv is None else self.quant_conv(y)
        mean, log_variance = y.chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, z: Float[Tensor, "b k h w"]) -> Float[Tensor, "b c hh ww"]:
        """Back to images."""
        z = z if self.post_quant_conv is None else self.post_quant_conv(z)
        x: Tensor = self.decoder(z)
        return x
