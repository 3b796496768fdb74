"""All conditions of a model, by name."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.errors import UsageError


class Condition(abc.ABC):
    """One thing a model can be told; subclasses are frozen dataclasses.

    Attributes:
        drop: Probability of hiding it while training.
        route: How the network takes it in. `vector`: added to the embedding of the time.
    """

    route: ClassVar[str]
    drop: float

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


@dataclass(frozen=True)
class Conditioner:
    """The conditions of a model: none for an unconditional one.

    Attributes:
        conditions: Name (a keyword argument of the network) -> condition.
    """

    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def encode(self, n: int, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """The `cond` dictionary for `n` samples; a condition not among `values` is null.

        Raises:
            UsageError: The model has no such condition, or a value makes no sense.
        """
        for name in values:
            if name not in self.conditions:
                has = ", ".join(self.conditions) or "none: it is unconditional"
                raise UsageError(f"this model has no condition {name!r}; it has {has}")
        return {name: c.encode(values.get(name), n) for name, c in self.conditions.items()}

    def null(self, cond: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`cond` with nothing said: what guidance starts from."""
        return {name: self.conditions[name].null(value) for name, value in cond.items()}

    def drop(
        self, cond: Mapping[str, Tensor], uniforms: Callable[[str], Tensor]
    ) -> dict[str, Tensor]:
        """`cond` with each condition hidden where its uniform number is below its drop rate.

        Args:
            cond: Encoded conditions, each `(B, ...)`.
            uniforms: Gives, for a condition's name, `(B,)` independent numbers in (0, 1).
        """
        out = dict(cond)
        for name, value in cond.items():
            if rate := self.conditions[name].drop:
                hide = (uniforms(name) < rate).to(value.device)
                hide = hide.reshape(-1, *(1,) * (value.ndim - 1))
                out[name] = torch.where(hide, self.conditions[name].null(value), value)
        return out
