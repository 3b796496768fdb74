"""The transformer of two streams of Stable Diffusion 3, trained here: published names, our data."""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from demist.errors import DataError, UsageError
from demist.io.notation import size_near
from demist.networks.conditioning import WAVES, Specs, silenced
from demist.networks.layers import sinusoid, zeroed
from demist.networks.network import Network, require_channels
from demist.networks.published.sd3 import SD3Config, SD3Transformer
from demist.networks.published.tokens import AdaNorm
from demist.networks.told import Telling, Told

VECTORS = "vectors"
"""Whose columns are those of all vectors that are neither a prompt's nor waves of sizes."""


class MMDiTNetwork(Network):
    """Words and patches have weights of their own and attend together: SD3Transformer2DModel.

    Every block scales, shifts and gates its branches by the embedding of the time and of one
    vector, and all of that starts at zero, so a new network returns exactly zero. The vector is
    that of the prompt, beside it classes, numbers and waves of sizes. As in the published form
    there is no mask: a word of weight w enters as w times its state, and padding as zeros.

    It sees the state as it is. Diffusers gives it 1000 times the noise's share: a run whose model
    is to be exported has `clock = "flow"`.

    References:
        Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image
        Synthesis", arXiv:2403.03206, figure 2.

    Args:
        in_channels: Channels of the state.
        out_channels: Channels of the result; as many as `in_channels` by default.
        side: Longer side of the states in training. Positions are those of squares twice as long.
        width: Of a token, a multiple of `head_dim` and of 4.
        depth: Blocks.
        patch: Side of the patches that become tokens; it must divide the sides of the state.
        head_dim: Channels per attention head.
        qk_norm: Normalise queries and keys, as in version 3.5.
        inlets: Specs of conditions; see `demist.networks.conditioning`.

    Raises:
        UsageError: Arguments that do not fit together, or a condition that has no place.
    """

    name: ClassVar[str] = "mmdit"
    folder: ClassVar[str] = "mmdit"
    kinds: ClassVar[tuple[str, ...]] = ("images",)
    given: ClassVar[tuple[str, ...]] = ("in_channels", "out_channels", "side", "inlets")
    unit_variance: ClassVar[bool] = False

    def __init__(
        self,
        *,
        in_channels: int = 4,
        out_channels: int | None = None,
        side: int = 32,
        width: int = 128,
        depth: int = 4,
        patch: int = 2,
        head_dim: int = 32,
        qk_norm: bool = True,
        inlets: Specs | None = None,
    ):
        super().__init__()
        self._config: dict[str, Any] = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "side": side,
            "width": width,
            "depth": depth,
            "patch": patch,
            "head_dim": head_dim,
            "qk_norm": qk_norm,
            "inlets": {name: dict(spec) for name, spec in (inlets or {}).items()},
        }
        if min(width, head_dim, depth, patch) < 1 or width % head_dim or width % 4 or patch > side:
            raise UsageError(
                f"width={width}, head_dim={head_dim}, depth={depth}, patch={patch} is no network "
                f"for images of {side}; choose a width that is a multiple of head_dim and of 4, "
                f"1 or more of the rest, and a patch that is no larger than the images"
            )
        self.multiple = patch
        self.telling = Telling(self.name, inlets or {}, width)
        vector = self.telling.pooled + self.telling.sizes * WAVES + self.telling.vectors * width
        try:
            self.net = SD3Transformer(
                SD3Config(
                    sample_size=side,
                    patch_size=patch,
                    in_channels=in_channels + self.telling.channels,
                    num_layers=depth,
                    attention_head_dim=head_dim,
                    num_attention_heads=width // head_dim,
                    joint_attention_dim=self.telling.width,
                    caption_projection_dim=width,
                    pooled_projection_dim=max(1, vector),
                    out_channels=in_channels if out_channels is None else out_channels,
                    pos_embed_max_size=2 * -(-side // patch),
                    qk_norm="rms_norm" if qk_norm else None,
                )
            )
        except DataError as error:
            raise UsageError(str(error)) from None
        zeroed(self.net.proj_out)
        for module in self.net.modules():
            if isinstance(module, AdaNorm):
                zeroed(module.linear)

    @property
    def config(self) -> dict[str, Any]:
        """See `Network.config`."""
        return copy.deepcopy(self._config)

    @property
    def columns(self) -> dict[str, dict[str, int]]:
        """See `Network.columns`."""
        told = {"prompts": self.telling.pooled}
        told |= {k: s["sizes"] * WAVES for k, s in self.telling.inlets.items() if "sizes" in s}
        told |= {VECTORS: self._config["width"]} if self.telling.vectors else {}
        if not sum(told.values()):
            told = {"nothing": 1}
        return {
            "net.pos_embed.proj.weight": self.telling.columns(self._config["in_channels"]),
            "net.time_text_embed.text_embedder.linear_1.weight": told,
        }

    def silence(self, names: Collection[str]) -> None:
        """See `Network.silence`.

        Vectors are added up before they meet their columns. Where these are new they are zero, and
        what is added up is not, or neither would ever learn.
        """
        self.telling.require_no_words(names, self.name)
        inlets = self.telling.inlets
        vectors = [k for k, s in inlets.items() if s["route"] == "vector" and "sizes" not in s]
        if any(name not in names for name in vectors):
            for name in vectors:
                if name in names:
                    silenced(self.telling.parts[name])

    @classmethod
    def arguments(
        cls, shape: Sequence[int], outputs: int, inlets: Specs, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Network.arguments`."""
        return {
            **options,
            "in_channels": shape[0],
            "out_channels": outputs * shape[0],
            "side": max(shape[1:]),
            "inlets": inlets,
        }

    def require_fit(self, shape: Sequence[int]) -> None:
        """See `Network.require_fit`."""
        _, height, width = shape
        patch, most = self._config["patch"], self.net.pos_embed.most
        if height % patch or width % patch:
            near = size_near(height, width, patch)
            raise UsageError(
                f"images of {height}x{width} cannot be cut into patches of {patch}; use "
                f"--size {near} (with --fit pad all is kept), or --patch 1"
            )
        if max(height, width) > most * patch:
            raise UsageError(
                f"states of {height}x{width} have sides above {most * patch}, twice those of "
                f"training, for which this network has no positions; choose a smaller size"
            )

    def forward(
        self, x: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], **cond: Tensor
    ) -> Float[Tensor, "b c_out h w"]:
        """The prediction.

        Args:
            x: The noisy state.
            t: What the network sees of the time.
            cond: The conditions named in `inlets`.

        Raises:
            UsageError: Channels, sides or conditions the network was not built for.
        """
        require_channels(x, self._config["in_channels"])
        self.require_fit(x.shape[1:])
        told = self.telling(cond, len(x))
        states = told.states if told.weight is None else told.states * told.weight[..., None]
        y: Tensor = self.net.run(
            x, t.expand(len(x)), states=states, pooled=self.vector(told, x), beside=told.beside
        )
        return y.contiguous()

    def vector(self, told: Told, x: Tensor) -> Float[Tensor, "b p"]:
        """All vectors side by side: prompts, waves of sizes, the rest; a zero if there are none."""
        found = list(told.pooled)
        for numbers in told.sizes:
            waves = sinusoid(numbers.flatten(), WAVES, 1.0, 10_000)
            found.append(waves.reshape(len(x), -1).to(told.states.dtype))
        if told.vectors:
            found.append(torch.stack(told.vectors).sum(0))
        return torch.cat(found, 1) if found else x.new_zeros(len(x), 1)
