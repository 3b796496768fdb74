"""Some numbers of the data are seen as they are, the others not at all."""

import abc
import math

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.operator import LinearOperator, Spectrum, kept


class Hiding(LinearOperator):
    """Parts are hidden. A measurement is the vector of the seen numbers, so that `A A' = I`."""

    def __post_init__(self) -> None:
        _ = self.hidden_part

    @abc.abstractmethod
    def hides(self) -> Tensor:
        """True where it hides, of a shape that broadcasts to `shape`."""

    @kept
    def hidden_part(self) -> Tensor:
        """True where it hides, of `shape`.

        Raises:
            UsageError: It has another size, or nothing is seen.
        """
        hidden = self.hides().bool()
        try:
            hidden = torch.broadcast_to(hidden, self.shape)
        except RuntimeError:
            raise UsageError(
                f"the mask has shape {tuple(hidden.shape)} and the data {self.shape}; they must be "
                f"of one size"
            ) from None
        if hidden.all():
            raise UsageError(
                "the operator hides everything, so nothing is measured; hide less, or sample "
                "without it"
            )
        return hidden

    @kept
    def seen(self) -> Tensor:
        """Where in the flat state the seen numbers are."""
        return (~self.hidden_part.flatten()).nonzero()[:, 0]

    @property
    def out(self) -> tuple[int, ...]:
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

    def shown(self, y: Tensor) -> Tensor:
        """The seen numbers in their places, and 0 in the others."""
        return self.adjoint(y)

    @kept
    def _order(self) -> Tensor:
        """The flat state's places, the seen ones first."""
        return torch.cat([self.seen, self.hidden_part.flatten().nonzero()[:, 0]])

    @property
    def spectrum(self) -> Spectrum:
        """Singular values of 1."""
        order, back = self._order, self._order.argsort()
        return Spectrum(
            torch.ones(len(self.seen), dtype=torch.float64),
            lambda x: x.flatten(1)[:, order.to(x.device)],
            lambda z: z[:, back.to(z.device)].reshape(-1, *self.shape),
            lambda y: y,
            lambda z: z,
        )
