"""All conditions of a model, by name."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.conditions.condition import HALF, Condition, Draw, Encoded
from demist.errors import UsageError


@dataclass(frozen=True)
class Conditioner:
    """The conditions of a model: none for an unconditional one.

    What a network is given, `cond`, is flat: a condition of one tensor goes by its own name, one of
    several by name and part: `{"label": ..., "text.tokens": ..., "text.weights": ...}`.

    Attributes:
        conditions: Name -> condition.
    """

    conditions: Mapping[str, Condition] = field(default_factory=dict)
    _nulls: dict[torch.device, dict[str, Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        rates: dict[str, float] = {}
        for name, c in self.conditions.items():
            if "." in name:
                raise ValueError(f"condition {name!r}: a name has no dot")
            if rates.setdefault(c.group or name, c.drop) != c.drop:
                raise ValueError(
                    f"condition {name!r} is hidden with probability {c.drop:g}, others of its "
                    f"group {c.group!r} with {rates[c.group or name]:g}; a group has one rate"
                )

    def encode(self, n: int, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """`cond` for `n` samples; a condition not among `values` is null.

        Raises:
            UsageError: The model has no such condition, or a value makes no sense.
        """
        self.require(values)
        return self.encode_only(n, {name: values.get(name) for name in self.conditions})

    def encode_only(self, n: int, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """What of `cond` belongs to the conditions among `values`; raises as `encode`."""
        self.require(values)
        out: dict[str, Tensor] = {}
        for name, value in values.items():
            out |= flat(name, self.conditions[name].encode(plain_numbers(value), n))
        return out

    def holding(self, *values: Mapping[str, Any]) -> "Conditioner":
        """The same with room for some values: what is given, and what guidance leads away from.

        All that one network is given at once has one length.
        """
        held = dict(self.conditions)
        for given in values:
            held |= {k: held[k].holding(plain_numbers(v)) for k, v in given.items() if k in held}
        same = all(held[name] is c for name, c in self.conditions.items())
        return self if same else Conditioner(held)

    def require(self, names: Iterable[str]) -> None:
        """Raise UsageError unless the model has all these conditions."""
        for name in names:
            if name not in self.conditions:
                has = ", ".join(self.conditions) or "none: it is unconditional"
                raise UsageError(f"this model has no condition {name!r}; it has {has}")

    def called(self, short: str) -> str | None:
        """The condition that is meant by `class` or `prompt`; None: there is none, or several."""
        found = [name for name, c in self.conditions.items() if c.short == short]
        return found[0] if len(found) == 1 else None

    def specs(self) -> dict[str, dict[str, Any]]:
        """What a network has to build, by the name of the condition."""
        return {name: c.spec() for name, c in self.conditions.items()}

    def words(self, name: str, values: Any, n: int) -> list[str]:
        """The values of a condition for `n` samples in words; see `Condition.words`."""
        condition = self.conditions[name]
        if (
            values is None
            or isinstance(values, tuple)
            or (hasattr(values, "ndim") and values.ndim > 2)
        ):
            return [""] * n  # images
        return [condition.words(plain_numbers(value)) for value in values]

    def null(self, cond: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`cond` without conditions: what guidance starts from. Encoded once for each device.

        Those whose `Condition.null` is None stay.
        """
        return {key: self._null(key, value) for key, value in cond.items()}

    def sampled(
        self,
        cond: Mapping[str, Tensor],
        draw: Callable[[str, Tensor], Tensor],
        level: float = 0.0,
    ) -> dict[str, Tensor]:
        """What sampling shows instead of `cond`; see `Condition.sampled`.

        Args:
            cond: Encoded conditions of all samples.
            draw: Standard normal numbers for the condition of a name, of the shape of a tensor.
            level: Of the noise of conditions that are `noisy`, from 0 to 1.
        """
        out: dict[str, Tensor] = {}
        for name, parts in nested(cond).items():
            out |= flat(name, self.conditions[name].sampled(parts, partial(draw, name), level))
        return out

    def beside(self, values: Mapping[str, Any], x: np.ndarray) -> dict[str, Any]:
        """What `encode` takes in training; see `Condition.beside`.

        Args:
            values: Rows of the columns, by name of the condition.
            x: The samples themselves.
        """
        return {name: c.beside(values.get(name), x) for name, c in self.conditions.items()}

    def augment(self, cond: Mapping[str, Tensor], draw: Draw) -> dict[str, Tensor]:
        """What training shows instead of `cond`."""
        out: dict[str, Tensor] = {}
        for name, parts in nested(cond).items():
            out |= flat(name, self.conditions[name].augment(parts, draw))
        return out

    def drop(
        self, cond: Mapping[str, Tensor], uniforms: Callable[[str], Tensor]
    ) -> dict[str, Tensor]:
        """`cond` with each condition hidden where its uniform number is below its drop rate.

        The numbers of a group of `HALF` are one: the first of its conditions is hidden below the
        rate p, the second from p / 2 to 3 p / 2, and so on.

        Args:
            cond: Encoded conditions, each `(B, ...)`.
            uniforms: Gives, for the name of a condition or group, `(B,)` independent numbers in
                (0, 1), the same whenever it is asked.
        """
        out: dict[str, Tensor] = {}
        before = Counter[str]()
        for name, parts in nested(cond).items():
            c = self.conditions[name]
            if not c.drop:
                out |= flat(name, parts)
                continue
            u = uniforms(c.group or name)
            hide = u < c.drop
            if c.group.startswith(HALF):
                low = before[c.group] * c.drop / 2
                hide = (u >= low) & (u < low + c.drop)
                before[c.group] += 1
            for key, value in flat(name, parts).items():
                where = hide.to(value.device).reshape(-1, *(1,) * (value.ndim - 1))
                out[key] = torch.where(where, self._null(key, value), value)
        return out

    def _null(self, key: str, like: Tensor) -> Tensor:
        """The null of one tensor of `cond`, in the shape of `like`; `like` itself if it stays."""
        made = self._nulls.setdefault(like.device, {})
        name = key.partition(".")[0]
        if key not in made:
            with torch.inference_mode(False):  # training may need it after sampling
                row = self.conditions[name].null()
                if row is None:
                    return like
                made |= {k: v.to(like.device) for k, v in flat(name, row).items()}
        return made[key].expand_as(like)


def plain_numbers(value: Any) -> Any:
    """A number of NumPy or torch, alone or in a list, as Python's own; all else as it is."""
    if isinstance(value, list | tuple):
        return type(value)([plain_numbers(v) if getattr(v, "ndim", 1) == 0 else v for v in value])
    single = isinstance(value, np.generic | np.ndarray | Tensor) and value.ndim == 0
    return value.item() if single else value


def flat(name: str, parts: Encoded) -> dict[str, Tensor]:
    """The parts of one condition under the keys that they have in `cond`."""
    if len(parts) == 1:
        return dict.fromkeys([name], next(iter(parts.values())))
    return {f"{name}.{part}": value for part, value in parts.items()}


def nested(cond: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Name -> part -> tensor; the only part of a condition of one tensor is called "" here."""
    out: dict[str, dict[str, Tensor]] = {}
    for key, value in cond.items():
        name, _, part = key.partition(".")
        out.setdefault(name, {})[part] = value
    return out
