"""What rules of guidance share: a denoiser made of denoisers, a scale, and a null.

To add a rule, write one file with one subclass of `Rule`: the command line finds it by its `name`,
and the contract tests find it, build it from
the names of its fields, and check that it keeps `x_t = alpha x0 + sigma eps`, does nothing at its
neutral value, goes with every other rule, and treats every sample by itself.
"""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Prediction, Schedule, State, left, many

Cond = Mapping[str, Any]
"""Conditions by name, as the network takes them."""

Null = Callable[[Cond], Cond]
"""Conditions -> what guidance leads away from: the null, or something else (`Instead`)."""

Encode = Callable[[Cond], Cond]
"""Conditions by name, as they are written -> encoded, for one sample."""

Scale = float | Callable[[Tensor], Any]
"""A number, or a function of the time `t` (see `demist.guidance.scale`)."""


@dataclass(frozen=True)
class Rule(abc.ABC):
    """A denoiser that changes what another one says; subclasses are frozen dataclasses.

    Attributes:
        model: The denoiser to guide, itself guided perhaps.
    """

    model: Model = field(metadata={"part": True, "note": "else the model itself"})

    name: ClassVar[str] = ""
    """The name on the command line; empty for a rule that needs a function of the caller's."""

    neutral: ClassVar[Mapping[str, Any]]
    """Fields with which the rule does nothing."""

    linear: ClassVar[bool] = True
    """Whether it only adds and scales predictions, so that a state may be anything."""

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    @abc.abstractmethod
    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`."""


@dataclass(frozen=True)
class Instead:
    """The null that says something else: a negative prompt, or one more thing to compose.

    Attributes:
        cond: Encoded conditions of one sample, `(1, ...)` each, or of as many as the batch has.
    """

    cond: Cond

    def __call__(self, cond: Cond) -> Cond:
        """`cond` with this instead, repeated to its batch."""
        return {**cond, **{name: _like(v, cond.get(name)) for name, v in self.cond.items()}}


def scale_at(scale: Scale, t: Tensor, x: State) -> Any:
    """The scale at time `t`: a number, or one per sample where `t` is."""
    w = scale(t) if callable(scale) else scale
    return left(w, x) if isinstance(w, Tensor) else w


def is_number(w: Any, value: float) -> bool:
    """Whether `w` is `value` for the whole batch, known without asking a device."""
    return w == value if not isinstance(w, Tensor) else w.ndim == 0 and float(w) == value


def both_ends(
    model: Model, null: Null, x: State, t: Tensor, cond: Cond
) -> tuple[Prediction, Prediction]:
    """Predictions without and with the conditions, in one batched call."""
    without, with_ = many(model, x, t, [null(cond), cond])
    return without, with_


def _like(value: Any, other: Any) -> Any:
    if isinstance(value, Tensor) and isinstance(other, Tensor) and len(value) == 1:
        return value.to(other.device).expand(len(other), *value.shape[1:])
    return value
