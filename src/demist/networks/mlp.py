"""A residual multilayer perceptron for low-dimensional data: points, rows of a table, one number.

    x -> linear_in -> residual blocks, each with time and class added -> linear_out

References:
    Gorishniy et al.: Revisiting Deep Learning Models for Tabular Data, 2021, arXiv:2106.11959,
        section 3.2 (the residual block).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.conditioning import ConditionEmbedding, Specs, first_classes, silence
from demist.networks.layers import TimeEmbedding, add_class, class_table, dropout_layer, zeroed
from demist.networks.network import Network


class MLPBlock(nn.Module):
    """Two linear layers with time and class between them, added to the input."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear_1 = nn.Linear(width, width)
        self.time_emb_proj = nn.Linear(width, width)
        self.dropout = dropout_layer(dropout)
        self.linear_2 = zeroed(nn.Linear(width, width))

    def forward(
        self, x: Float[Tensor, "b width"], emb: Float[Tensor, "b width"]
    ) -> Float[Tensor, "b width"]:
        """Transform x; `emb` comes activated already, once for all blocks."""
        y = F.silu(self.linear_1(self.norm(x)) + self.time_emb_proj(emb))
        update: Tensor = self.linear_2(self.dropout(y))
        return x + update


class MLP(Network):
    """Residual network that maps (point, time, class) to a point.

    A new network returns exactly zero.

    Args:
        features: numbers per point.
        out_features: numbers per result; as many as `features` by default.
        width: hidden units.
        depth: residual blocks of two layers each.
        num_classes: number of classes; 0 for none. Label `num_classes` means "no class".
        inlets: of further conditions, by name (see `demist.networks.conditioning`).
        dropout: probability of dropping a hidden unit inside a block, in [0, 1).
        time_scale: highest frequency of the time features, in radians per unit of t. The default
            suits a clock of order one, within [-10, 10]; a discrete clock 0..999 wants
            `time_scale=1, max_period=10000`.
        max_period: ratio of the highest to the lowest frequency of the time features.

    Raises:
        UsageError: arguments outside their range.
    """

    name: ClassVar[str] = "mlp"
    kinds: ClassVar[tuple[str, ...]] = ("points",)
    axes: ClassVar[int] = 1
    given: ClassVar[tuple[str, ...]] = ("features", "out_features", "num_classes", "inlets")

    def __init__(
        self,
        *,
        features: int = 2,
        out_features: int | None = None,
        width: int = 128,
        depth: int = 4,
        num_classes: int = 0,
        inlets: Specs | None = None,
        dropout: float = 0.0,
        time_scale: float = 30.0,
        max_period: float = 1000.0,
    ):
        super().__init__()
        self._config = {
            "features": features,
            "out_features": out_features,
            "width": width,
            "depth": depth,
            "num_classes": num_classes,
            "inlets": {name: dict(spec) for name, spec in (inlets or {}).items()},
            "dropout": dropout,
            "time_scale": time_scale,
            "max_period": max_period,
        }
        if features < 1 or width < 1 or depth < 1:
            raise UsageError(
                f"features={features}, width={width}, depth={depth} is no network; "
                "all of them must be at least 1."
            )
        self.features = features
        self.time_embedding = TimeEmbedding(64, width, time_scale, max_period)
        self.class_name, count, others = first_classes(num_classes, inlets)
        self.class_embedding = class_table(count, width)
        strange = [name for name, spec in others.items() if spec["route"] != "vector"]
        if strange:
            raise UsageError(
                f"a network for points takes conditions in as vectors only, not {strange[0]!r} "
                f"({others[strange[0]]['route']}); leave it out"
            )
        self.linear_in = nn.Linear(features, width)
        self.blocks = nn.ModuleList(MLPBlock(width, dropout) for _ in range(depth))
        self.norm_out = nn.LayerNorm(width)
        self.intake = ConditionEmbedding(others, width, width)
        self.linear_out = zeroed(nn.Linear(width, out_features or features))

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them: `MLP(**net.config)` is a twin."""
        return dict(self._config)

    def silence(self, names: Collection[str]) -> None:
        """See `Network.silence`."""
        silence(self.class_embedding, self.class_name, self.intake, names)

    @classmethod
    def arguments(
        cls, shape: Sequence[int], outputs: int, inlets: Specs, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """See `Network.arguments`."""
        out = outputs * shape[0]
        return {**options, "features": shape[0], "out_features": out, "inlets": inlets}

    def forward(
        self,
        x: Float[Tensor, "b features"],
        t: Float[Tensor, " b"],
        label: Int[Tensor, " b"] | None = None,
        **cond: Tensor,
    ) -> Float[Tensor, "b out_features"]:
        """Evaluate the network.

        Args:
            x: (b, features) points.
            t: (b,) value of the clock.
            label: (b,) classes in 0..num_classes, the last meaning "no class", as does None.
            cond: The conditions named in `inlets`; see `demist.networks.conditioning`.

        Raises:
            UsageError: points, conditions or labels the network was not built for.
        """
        if x.shape[1] != self.features:
            raise UsageError(
                f"The points have {x.shape[1]} numbers each but the network was built for "
                f"{self.features}; set features."
            )
        label = cond.pop(self.class_name, label)
        routed = self.intake(cond)
        emb = add_class(self.time_embedding(t), self.class_embedding, label)
        emb = F.silu(emb if routed.vector is None else emb + routed.vector)
        x = self.linear_in(x)
        for block in self.blocks:
            x = block(x, emb)
        y: Tensor = self.linear_out(F.silu(self.norm_out(x)))
        return y
