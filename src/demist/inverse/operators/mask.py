"""Some numbers of the data are seen as they are, the others not at all."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.operator import LinearOperator, Shape, Spectrum, kept


@dataclass(frozen=True, eq=False)
class Mask(LinearOperator):
    """Parts are hidden: 1 is hidden and to be made anew, 0 is seen.

    A measurement is the vector of the seen numbers, so that `A A' = I`.

    Attributes:
        shape: Of one state.
        hidden: What is hidden, of a shape that broadcasts to `shape`.

    Raises:
        UsageError: It does not, or nothing is seen.
    """

    shape: Shape
    hidden: Tensor = field(metadata={"needs": "a file: write mask:FILE"})
    name: ClassVar[str] = "mask"

    def __post_init__(self) -> None:
        try:
            seen = ~torch.broadcast_to(self.hidden.bool(), self.shape)
        except RuntimeError:
            raise UsageError(
                f"the mask has shape {tuple(self.hidden.shape)} and the data {self.shape}; they "
                f"must be of one size"
            ) from None
        if not seen.any():
            raise UsageError("the mask hides everything, so nothing is measured; sample instead")

    @kept
    def seen(self) -> Tensor:
        """Where in the flat state the seen numbers are."""
        hidden = torch.broadcast_to(self.hidden.bool(), self.shape).flatten()
        return (~hidden).nonzero()[:, 0]

    @kept
    def _order(self) -> Tensor:
        """The flat state's places, the seen ones first."""
        hidden = torch.broadcast_to(self.hidden.bool(), self.shape).flatten()
        return torch.cat([self.seen, hidden.nonzero()[:, 0]])

    @property
    def out(self) -> Shape:
        """How many numbers are seen."""
        return (len(self.seen),)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return x.flatten(1)[:, self.seen.to(x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        x = y.new_zeros(len(y), math.prod(self.shape))
        return x.index_copy(1, self.seen.to(y.device), y).reshape(-1, *self.shape)

    def measured(self, data: Tensor) -> Tensor:
        """The seen numbers of whole data, whose hidden ones may be anything."""
        return self.forward(data) if tuple(data.shape[1:]) == self.shape else super().measured(data)

    @property
    def spectrum(self) -> Spectrum:
        """Singular values of 1."""
        back = self._order.argsort()
        return Spectrum(
            torch.ones(len(self.seen), dtype=torch.float64),
            lambda x: x.flatten(1)[:, self._order.to(x.device)],
            lambda z: z[:, back.to(z.device)].reshape(-1, *self.shape),
            lambda y: y,
            lambda z: z,
        )
