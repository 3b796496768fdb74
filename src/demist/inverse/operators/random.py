"""Parts are hidden at random."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from demist.core import keyed_normal
from demist.errors import UsageError
from demist.inverse.hiding import Hiding
from demist.inverse.operator import Shape


@dataclass(frozen=True, eq=False)
class Random(Hiding):
    """A share of the pixels is hidden at random, in all channels alike: `random:0.7`.

    Attributes:
        shape: Of one state; its first axis is channels, if there are more.
        share: Of what is hidden, at least 0 and below 1.
        seed: Which pixels.

    Raises:
        UsageError: There is no such share.
    """

    shape: Shape
    share: float
    seed: int = 0
    name: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UsageError(
                f"a share of {self.share:g} cannot be hidden; give one of at least 0 and below 1"
            )
        super().__post_init__()

    def hides(self) -> Tensor:
        """As many places as the share says, rounded; one stays at least."""
        places = self.shape[1:] or self.shape
        drawn = torch.from_numpy(keyed_normal(f"{self.seed}/hidden", places))
        count = min(round(self.share * drawn.numel()), drawn.numel() - 1)
        hidden = torch.zeros(drawn.numel(), dtype=torch.bool)
        hidden[drawn.flatten().argsort()[:count]] = True
        return hidden.reshape(places)
