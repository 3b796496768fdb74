"""What a term of an autoencoder's loss is."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from demist.config import TrainConfig
from demist.data import Dataset
from demist.training.parallel import World


@dataclass(frozen=True)
class Setting:
    """What a term may be made from.

    Attributes:
        config: Of the run.
        data: What it learns from.
        shape: Of what the autoencoder sees of one sample, `(C, H, W)`.
        net: The autoencoder, on its device.
        last: Weight of its decoder's last layer.
        device: Where it is.
        world: The processes that train together.
    """

    config: TrainConfig
    data: Dataset
    shape: tuple[int, ...]
    net: nn.Module
    last: Tensor
    device: torch.device
    world: World


@dataclass(frozen=True)
class Rebuilt:
    """What a term sees of a batch of b images.

    Attributes:
        x: The images, `(b, C, H, W)`, in [-1, 1].
        rebuilt: Their reconstructions.
        mean: Of their latents, `(b, k, h, w)`.
        log_variance: Likewise.
        codes: The codes in the place of the latents; None: there is no codebook.
        reconstruction: The sum of the terms so far that ask for likeness, `(b,)`.
        last: Weight of the decoder's last layer.
        progress: Share of the run that is done, 0 to 1.
    """

    x: Tensor
    rebuilt: Tensor
    mean: Tensor
    log_variance: Tensor
    codes: Tensor | None
    reconstruction: Tensor
    last: Tensor
    progress: float


class Term(nn.Module, abc.ABC):
    """A term of the loss, with its weight in it.

    To add one, write a class as in `plain`, and name it in `TERMS`. What of it is trained is its
    parameters; what is frozen it holds in a tuple, so that checkpoints do not.

    Attributes:
        name: Of the term; no dots.
        logged: Names of the numbers that it gives, which stand in the log.
        likeness: Whether it asks for likeness of image and reconstruction.
        reported: Names of its parameters that carry reports; see `demist.training.joint`.
        rates: How the names of some of its parameters begin -> their learning rate in units of the
            autoencoder's.
        facts: What a saved model says of it, as JSON values.
        notes: What is said before the first step.
    """

    name: ClassVar[str]
    logged: ClassVar[tuple[str, ...]]
    likeness: ClassVar[bool] = False
    reported: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[Mapping[str, float]] = MappingProxyType({})
    facts: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    @classmethod
    @abc.abstractmethod
    def of(cls, setting: Setting) -> "Term | None":
        """The term that the options ask for; None: they ask for none.

        Raises:
            DemistError: They make no sense, or something is missing.
        """

    @abc.abstractmethod
    def forward(self, seen: Rebuilt) -> tuple[Tensor, ...]:
        """Its numbers, each `(b,)`, as many as are logged; their sum is minimised.

        Every parameter must be in it in every step, if only with a gradient of zero: several
        processes wait for each.
        """

    def settle(self, taken: bool) -> None:
        """After a step, while the gradients are there; `taken`: it was not skipped."""
