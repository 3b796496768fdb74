"""The U-Net of Stable Diffusion, trained here: published names, conditions of ours.

What is told decides which of the published forms it is: words alone enter by cross-attention, as in
Stable Diffusion 1; numbers of pixels (`demist.conditions.Sizes`) enter with the vector of the
prompt, as in XL; one condition of classes is the table of classes that the form has.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.conditioning import WAVES, Specs, by_name, joined_parts, silenced
from demist.networks.layers import dropout_layer, zeroed
from demist.networks.network import Network, require_channels, require_halvings
from demist.networks.published.layers import Resnet, SpatialTransformer
from demist.networks.published.unet_2d_condition import UNet2DCondition, UNet2DConditionConfig
from demist.networks.told import Telling, Told
from demist.networks.unet import UNet
from demist.networks.unet_2d import check_levels, groups_of

POSITIONS = 1024
"""Levels with more have no attention where nobody chooses: its time grows with their square."""


class SDNetwork(Network):
    """A U-Net with transformer blocks that attend to words, in the form of UNet2DConditionModel.

    A new network returns exactly zero, and each residual and transformer block adds nothing. It
    sees the state as it is. Diffusers gives it an index of the timestep: a run whose model is to be
    exported has `clock = "index"`.

    References:
        Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models",
        arXiv:2112.10752, section 3.3; Podell et al. 2023, "SDXL", arXiv:2307.01952, section 2.2.

    Args:
        in_channels: Channels of the state.
        out_channels: Channels of the result; as many as `in_channels` by default.
        channels: Width at each level, finest first; each level halves the sides of the one before.
        blocks: Residual blocks per level on the way down; one more on the way up.
        cross: Levels with transformer blocks, 0 = finest; the bottom has them always.
        layers: Transformer blocks after each residual block of such a level.
        head_dim: Channels per attention head, which divides those of the levels with attention.
        norm_groups: Groups of every normalisation; by default groups of about 16 channels.
        dropout: Probability of dropping a feature inside a residual block, in [0, 1).
        inlets: Specs of conditions; see `demist.networks.conditioning`.

    Raises:
        UsageError: Arguments that do not fit together, or a condition that has no place.
    """

    name: ClassVar[str] = "sd"
    folder: ClassVar[str] = "sd"
    kinds: ClassVar[tuple[str, ...]] = ("images",)
    given: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels", "inlets")
    unit_variance: ClassVar[bool] = False

    def __init__(
        self,
        *,
        in_channels: int = 4,
        out_channels: int | None = None,
        channels: Sequence[int] = (64, 128),
        blocks: int = 1,
        cross: Sequence[int] = (0, 1),
        layers: int = 1,
        head_dim: int = 32,
        norm_groups: int | None = None,
        dropout: float = 0.0,
        inlets: Specs | None = None,
    ):
        super().__init__()
        self._config: dict[str, Any] = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "channels": list(channels),
            "blocks": blocks,
            "cross": list(cross),
            "layers": layers,
            "head_dim": head_dim,
            "norm_groups": norm_groups,
            "dropout": dropout,
            "inlets": {name: dict(spec) for name, spec in (inlets or {}).items()},
        }
        check_levels(channels, blocks, cross)
        dropout_layer(dropout)
        attended = {channels[i] for i in cross} | {channels[-1]}
        if head_dim < 1 or any(c % head_dim for c in attended) or not 1 <= layers <= 16:
            raise UsageError(
                f"head_dim={head_dim}, layers={layers}: heads must divide the channels "
                f"{sorted(attended)}, where there is attention, and there are 1 to 16 layers"
            )
        groups = groups_of(channels, norm_groups)
        emb = 4 * channels[0]
        self.telling = Telling(self.name, inlets or {}, emb)
        self.class_name = self._only_class()
        if self.class_name:  # the published form has the table
            self.telling.parts[self.class_name] = nn.Identity()
        sizes = self.telling.sizes
        self.multiple = 2 ** (len(channels) - 1)
        levels = range(len(channels))
        self.net = UNet2DCondition(
            UNet2DConditionConfig(
                in_channels=in_channels + self.telling.channels,
                out_channels=in_channels if out_channels is None else out_channels,
                down_block_types=tuple(
                    "CrossAttnDownBlock2D" if i in cross else "DownBlock2D" for i in levels
                ),
                up_block_types=tuple(
                    "CrossAttnUpBlock2D" if i in cross else "UpBlock2D" for i in reversed(levels)
                ),
                block_out_channels=tuple(channels),
                layers_per_block=blocks,
                dropout=dropout,
                norm_num_groups=groups,
                cross_attention_dim=self.telling.width,
                transformer_layers_per_block=layers,
                attention_head_dim=tuple(max(1, c // head_dim) for c in channels),
                use_linear_projection=True,
                num_class_embeds=self._classes(),
                class_embed_type="identity" if self._identity() else None,
                addition_embed_type="text_time" if sizes else None,
                addition_time_embed_dim=WAVES if sizes else None,
                projection_class_embeddings_input_dim=(
                    self.telling.pooled + sizes * WAVES if sizes else None
                ),
            )
        )
        zeroed(self.net.conv_out)
        for module in self.net.modules():
            if isinstance(module, Resnet):
                zeroed(module.conv2)
            elif isinstance(module, SpatialTransformer):
                assert isinstance(module.proj_out, nn.Linear)
                zeroed(module.proj_out)

    def _only_class(self) -> str:
        """The condition of classes that is the form's own: the only vector there is, or ""."""
        specs = self._config["inlets"]
        found = [k for k, s in specs.items() if s["route"] == "vector" and "sizes" not in s]
        return found[0] if len(found) == 1 and "classes" in specs[found[0]] else ""

    def _classes(self) -> int | None:
        return self._config["inlets"][self.class_name]["classes"] + 1 if self.class_name else None

    def _identity(self) -> bool:
        """Whether vectors of ours are added to the embedding of the time as they are."""
        return self.telling.vectors and not self.class_name

    @property
    def config(self) -> dict[str, Any]:
        """See `Network.config`."""
        return copy.deepcopy(self._config)

    @property
    def columns(self) -> dict[str, dict[str, int]]:
        """See `Network.columns`."""
        found = {"net.conv_in.weight": self.telling.columns(self._config["in_channels"])}
        if self.telling.sizes:
            told = {"prompts": self.telling.pooled}
            told |= {k: s["sizes"] * WAVES for k, s in self.telling.inlets.items() if "sizes" in s}
            found["net.add_embedding.linear_1.weight"] = told
        return found

    @property
    def aliases(self) -> dict[str, str]:
        """See `Network.aliases`: classes are a table of the form's own, or beside others ours."""
        own = {"net.class_embedding.weight": f"telling.parts.{self.class_name}.weight"}
        return own if self.class_name else {}

    def silence(self, names: Collection[str]) -> None:
        """See `Network.silence`."""
        self.telling.require_no_words(names, self.name)
        for name in names:
            if "sizes" in self.telling.inlets[name]:
                zeroed(self.net.add_embedding.linear_2)
            elif name == self.class_name and self.net.class_embedding is not None:
                silenced(self.net.class_embedding)
            else:
                silenced(self.telling.parts[name])

    @classmethod
    def arguments(
        cls, shape: Sequence[int], outputs: int, inlets: Specs, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Network.arguments`: options of a run as in `UNet`, without patches."""
        made = UNet.arguments(shape, outputs, inlets, {**options, "patch": 1})
        if made["cross"] is None:
            levels = len(options.get("channels") or made["channels"])
            sides = [(shape[1] >> i) * (shape[2] >> i) for i in range(levels)]
            made["cross"] = [i for i, positions in enumerate(sides) if positions <= POSITIONS]
        return made

    def require_fit(self, shape: Sequence[int]) -> None:
        """See `Network.require_fit`."""
        require_halvings(shape, len(self.net.down_blocks) - 1)

    def forward(
        self, x: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], **cond: Tensor
    ) -> Float[Tensor, "b c_out h w"]:
        """The prediction.

        Args:
            x: The noisy state.
            t: What the network sees of the time, such as an index of the timestep.
            cond: The conditions named in `inlets`.

        Raises:
            UsageError: Channels, sides or conditions the network was not built for.
        """
        require_channels(x, self._config["in_channels"])
        self.require_fit(x.shape[1:])
        told = self.telling(cond, len(x))
        x = x.to(memory_format=torch.channels_last)
        y: Tensor = self.net.run(x, t.expand(len(x)), **self.published(told, cond))
        return y.contiguous()

    def published(self, told: Told, cond: Mapping[str, Tensor]) -> dict[str, Any]:
        """Arguments of the published form's `run`."""
        found: dict[str, Any] = {"states": told.states}
        if told.weight is not None:
            found["mask"] = told.weight.log()
        if self.class_name:
            found.update(label=joined_parts(by_name(cond)[self.class_name]))
        elif told.vectors:
            found.update(label=torch.stack(told.vectors).sum(0))
        if told.sizes:
            numbers = torch.cat(told.sizes, 1)
            empty = numbers.new_zeros(len(numbers), 0)
            found |= {"sizes": numbers, "pooled": torch.cat([empty, *told.pooled], 1)}
        if told.beside:
            found["beside"] = told.beside
        return found
