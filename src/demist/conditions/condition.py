"""One thing that samples may be conditioned on, and what it reads."""

import abc
from collections.abc import Callable, Mapping, Sequence
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
    def in_pixels(self) -> "Condition":
        """The condition as people give it: of images in latents the same in pixels, else itself."""
        return self

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
