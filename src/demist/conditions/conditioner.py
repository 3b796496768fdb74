"""All conditions of a model, by name."""

import abc
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from demist.errors import UsageError

Draw = Callable[[Tensor], Tensor]
"""Standard normal numbers of a tensor's shape."""

Encoded = Mapping[str, Tensor]
"""One condition as the network takes it: tensors by the names of its parts, batch first."""

ReadImage = Callable[[str, int, "tuple[int, int] | None"], np.ndarray]
"""Bytes (C, H, W) of an image file: its name, C, and H and W (None: those it has)."""

Reading = tuple[str, list[tuple[int, int]]]
"""A prompt without its weights, and where in it each token begins and ends; marks and padding are
empty. There are as many as the network is given tokens."""

HALF = "~"
"""How the name of a group begins whose conditions are hidden half by themselves and half together:
of two with the rate p, one alone with p / 2, the other alone with p / 2, both with p / 2."""

ROUTES = ("vector", "tokens", "concat", "residual", "extra")
"""How a network takes a condition in: added to the embedding of the time; as tokens for cross- or
joint attention; as more input channels; added to the first feature map; by attention of its own
beside that to the tokens."""


@runtime_checkable
class Column(Protocol):
    """What is known of every sample of a data set; see `demist.data.column`."""

    @property
    def kind(self) -> str:
        """What the values are: class, labels, numbers, text, image, mask, states, ..."""

    @property
    def values(self) -> Any:
        """One per sample."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes or numbers."""


class Condition(abc.ABC):
    """One thing that a sample may be conditioned on; subclasses are frozen dataclasses.

    To add one, write one file with one subclass. What it reads from data are the columns of one
    kind; `of` makes it from such a column.

    Attributes:
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together; empty: by itself; see also `HALF`.
    """

    name: ClassVar[str]
    """The name on the command line."""

    drop: float
    group: str

    reads: ClassVar[str]
    """The kind of column from which it is made."""

    short: ClassVar[str] = ""
    """What people write for the model's only condition of its sort: `class`, `prompt`."""

    usual: ClassVar[bool] = True
    """Whether it is the one for such a column where nobody names a condition."""

    from_samples: ClassVar[bool] = False
    """Whether it can be made from the samples themselves, without a column."""

    column: ClassVar[str] = ""
    """The column that it reads where people name the condition alone, if the data has it."""

    spatial: ClassVar[bool] = False
    """Whether it lies over the image, so that it is mirrored with it."""

    noisy: ClassVar[bool] = False
    """Whether sampling can show it with noise of a level that is told."""

    kept: ClassVar[bool] = False
    """Whether guidance leaves it as it is: what is led away from has the same value of it."""

    @classmethod
    @abc.abstractmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Condition":
        """The condition that `column` can give.

        Args:
            column: Of training data.
            shape: Of one sample of the data.
            drop: Probability of hiding it while training.

        Raises:
            UsageError: The column can condition nothing.
        """

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """Frozen networks that belong to it, by the names of their folders; asking opens them."""
        return self.saved_networks

    @property
    def saved_networks(self) -> Mapping[str, nn.Module]:
        """Those that are saved with a model of this program; each is a field."""
        return {}

    @property
    def saved_folders(self) -> tuple[str, ...]:
        """Folders that are copied into a saved model; each is a field, or in a list that is one."""
        return ()

    def to(self, device: torch.device, turns: bool = False) -> None:
        """Let its networks run on a device, or be there while they run; a condition has none."""
        return

    @property
    def choices(self) -> tuple[Any, ...]:
        """All values there are, if they can be counted; else empty."""
        return ()

    @abc.abstractmethod
    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """What the network is given for `n` samples: tensors `(n, ...)` by name.

        Args:
            values: One value for all samples, or a sequence of `n`; None where there is none.
            n: Number of samples.

        Raises:
            UsageError: A value makes no sense; those that do are listed.
        """

    @abc.abstractmethod
    def spec(self) -> dict[str, Any]:
        """What a network has to build to take it in, as JSON; see `networks.conditioning`."""

    @abc.abstractmethod
    def parse(self, text: str, read_image: ReadImage) -> Any:
        """The value, as `encode` takes it, that was typed as `text`.

        Raises:
            UsageError: It makes no sense.
        """

    def sized(self, height: int, width: int) -> "Condition":
        """The same for images of another size in pixels, if it says anything of their size.

        Raises:
            UsageError: It lies over the image and is of one size.
        """
        if hasattr(self, "shape"):
            raise UsageError(
                f"is an image of shape {self.shape}, so the size is fixed; leave it out"
            )
        return self

    def holding(self, values: Any) -> "Condition":
        """The same with room for values of any length, if their lengths matter to what it gives.

        Args:
            values: As `encode` takes them.
        """
        return self

    def null(self) -> Encoded | None:
        """One row of what guidance leads away from, and of what training shows where it hides it.

        None: what is given stays, as always if it is `kept`.
        """
        return None if self.kept else self.encode(None, 1)

    def sampled(self, encoded: Encoded, draw: Draw, level: float = 0.0) -> Encoded:
        """What sampling shows instead of `encoded`; by default the same.

        Args:
            encoded: All samples.
            draw: Standard normal numbers, each sample's of its own seed.
            level: Of the noise of a condition that is `noisy`, from 0 to 1.
        """
        return encoded

    def values(self, column: Column) -> Any:
        """The values of a column, as an array of which `encode` takes any rows.

        Raises:
            UsageError: The column does not fit this condition.
        """
        return column.values

    def beside(self, values: Any, x: np.ndarray) -> Any:
        """What `encode` takes in training: `values` of the column, or what is made with `x`.

        Args:
            values: Rows of the column.
            x: The samples themselves.
        """
        return values

    def mirrored(self, values: np.ndarray) -> np.ndarray:
        """Values of a column for samples that are mirrored."""
        return values[..., ::-1] if self.spatial else values

    def augment(self, encoded: Encoded, draw: Draw) -> Encoded:
        """What training shows instead of `encoded`; by default the same."""
        return encoded

    def written(self, column: Column, rows: Sequence[int]) -> list[Any] | None:
        """The values of some rows as JSON has them, which `encode` takes; None: they are too much.

        Raises:
            UsageError: The column does not fit this condition.
        """
        if self.spatial:
            return None
        return list(np.asarray(self.values(column))[np.asarray(rows)].tolist())

    def readings(self, text: str) -> list[Reading]:
        """Where the tokens come from that networks attend to, in blocks that stand one by one.

        Raises:
            UsageError: It is no prompt.
        """
        raise UsageError(f"the condition {self.name} is no prompt, so it has no words to edit")

    def words(self, value: Any) -> str:
        """A value in a few words, to stand above a sample; "" for what has none."""
        return "" if value is None else str(value)


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
        if isinstance(values, tuple) or (hasattr(values, "ndim") and values.ndim > 2):
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
