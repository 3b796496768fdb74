"""What a published network offers, so that a denoiser can call it and a folder keep it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from demist.errors import DataError, UsageError
from demist.networks.published.config import read


class Published(nn.Module):
    """A network with diffusers' names, made from its configuration, called as `net(x, t, **cond)`.

    Attributes:
        kind: Its class in diffusers, `_class_name` in a configuration.
        folder: Its component's usual name.
        side: Of the state, where no configuration says; 0: one must.
        config_class: The dataclass of its configuration.
        routes: Key in `cond` -> argument of `run`; several of one argument are joined along axis 1
            in the order that they have here. What is not in it goes by its own key.
        one_time_per_sample: As all of them.
    """

    kind: ClassVar[str]
    folder: ClassVar[str] = "unet"
    side: ClassVar[int] = 0
    config_class: ClassVar[type[Any]]
    one_time_per_sample: ClassVar[bool] = True

    def __init__(self, config: Any):
        super().__init__()
        self.config_object = config
        self.routes: dict[str, str] = {}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str) -> "Published":
        """The network that a `config.json` describes, with fresh weights.

        Raises:
            DataError: It makes no sense.
        """
        try:
            return cls(read(cls.config_class, values, where))
        except (UsageError, ValueError) as error:
            raise DataError(f"{where} describes no network: {error}") from None

    @property
    def config(self) -> dict[str, Any]:
        """Its configuration, as JSON holds it."""
        return dataclasses.asdict(self.config_object)

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of what it is given, and of what it returns."""
        inputs = int(self.config["in_channels"])
        return inputs, int(self.config.get("out_channels") or inputs)

    run: Callable[..., Tensor]
    """The prediction: a method of each subclass, which names the conditions that it takes."""

    def forward(self, x: Tensor, t: Tensor, **cond: Any) -> Tensor:
        """`run` with conditions under the names of the model.

        Args:
            x: The noisy state, `(b, c, h, w)`.
            t: What the network sees of the time, `(b,)` or `()`.
            cond: Encoded conditions.
        """
        t = t.expand(len(x)) if t.ndim == 0 else t
        y: Tensor = self.run(x, t, **self.routed(cond))
        return y

    def routed(self, cond: Mapping[str, Any]) -> dict[str, Any]:
        """Conditions as arguments of `run`; several of one argument stand side by side."""
        given: dict[str, list[Any]] = {}
        for key in [*self.routes, *(key for key in cond if key not in self.routes)]:
            if key in cond:
                given.setdefault(self.routes.get(key, key), []).append(cond[key])
        return {k: v[0] if len(v) == 1 else torch.cat(v, dim=1) for k, v in given.items()}

    @staticmethod
    def _known(table: Mapping[str, Any], name: str) -> Any:
        if name not in table:
            raise DataError(
                f"it has a block {name!r}, which this version does not know; it knows "
                f"{', '.join(table)}"
            )
        return table[name]
