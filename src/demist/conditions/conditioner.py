"""All conditions of a model, by name."""

import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.errors import UsageError

Draw = Callable[[Tensor], Tensor]
"""Standard normal numbers of a tensor's shape."""

ROUTES = ("vector", "tokens", "concat", "residual", "extra")
"""How a network takes a condition in: added to the embedding of the time; as tokens for cross- or
joint attention; as more input channels; added to the first feature map; by attention of its own
beside that to the tokens."""


class Condition(abc.ABC):
    """One thing a model can be told; subclasses are frozen dataclasses with a `route`.

    Attributes:
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together; empty: by itself.
    """

    name: ClassVar[str]
    """The name on the command line."""

    drop: float
    group: str

    @abc.abstractmethod
    def encode(self, values: Any, n: int) -> Tensor:
        """What the network is given for `n` samples: shape `(n, ...)`.

        Args:
            values: One value for all samples, or a sequence of `n`; None where there is none.
            n: Number of samples.

        Raises:
            UsageError: A value makes no sense; those that do are listed.
        """

    @abc.abstractmethod
    def null(self, encoded: Tensor) -> Tensor:
        """The encoding of "nothing said", in the shape of `encoded`."""

    @abc.abstractmethod
    def spec(self) -> dict[str, Any]:
        """What a network has to build to take it in, as JSON; see `networks.conditioning`."""

    def augment(self, encoded: Tensor, draw: Draw) -> Tensor:
        """What training shows instead of `encoded`; by default the same."""
        return encoded


@dataclass(frozen=True)
class Conditioner:
    """The conditions of a model: none for an unconditional one.

    Attributes:
        conditions: Name (a keyword argument of the network) -> condition.
    """

    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rates: dict[str, float] = {}
        for name, c in self.conditions.items():
            if rates.setdefault(c.group or name, c.drop) != c.drop:
                raise ValueError(
                    f"condition {name!r} is hidden with probability {c.drop:g}, others of its "
                    f"group {c.group!r} with {rates[c.group or name]:g}; a group has one rate"
                )

    def encode(self, n: int, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """The `cond` dictionary for `n` samples; a condition not among `values` is null.

        Raises:
            UsageError: The model has no such condition, or a value makes no sense.
        """
        self.require(values)
        return {name: c.encode(values.get(name), n) for name, c in self.conditions.items()}

    def require(self, names: Iterable[str]) -> None:
        """Raise UsageError unless the model has all these conditions."""
        for name in names:
            if name not in self.conditions:
                has = ", ".join(self.conditions) or "none: it is unconditional"
                raise UsageError(f"this model has no condition {name!r}; it has {has}")

    def specs(self) -> dict[str, dict[str, Any]]:
        """What a network has to build, by the name of the condition."""
        return {name: c.spec() for name, c in self.conditions.items()}

    def null(self, cond: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`cond` with nothing said: what guidance starts from."""
        return {name: self.conditions[name].null(value) for name, value in cond.items()}

    def augment(self, cond: Mapping[str, Tensor], draw: Draw) -> dict[str, Tensor]:
        """What training shows instead of `cond`."""
        return {name: self.conditions[name].augment(value, draw) for name, value in cond.items()}

    def drop(
        self, cond: Mapping[str, Tensor], uniforms: Callable[[str], Tensor]
    ) -> dict[str, Tensor]:
        """`cond` with each condition hidden where its uniform number is below its drop rate.

        Args:
            cond: Encoded conditions, each `(B, ...)`.
            uniforms: Gives, for the name of a condition or group, `(B,)` independent numbers in
                (0, 1), the same whenever it is asked.
        """
        out = dict(cond)
        for name, value in cond.items():
            c = self.conditions[name]
            if c.drop:
                hide = (uniforms(c.group or name) < c.drop).to(value.device)
                hide = hide.reshape(-1, *(1,) * (value.ndim - 1))
                out[name] = torch.where(hide, c.null(value), value)
        return out
