"""Measurements of data whose states are latents."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from demist.inverse.operator import LinearOperator, Operator, Shape


@dataclass(frozen=True, eq=False)
class ThroughCodec(Operator):
    """States are decoded, and the data is measured: nonlinear, with gradients by autograd.

    Attributes:
        shape: Of one state.
        operator: Of the data.
        decode: Differentiable, states `(B, *shape)` to data `(B, *operator.shape)`.
    """

    shape: Shape
    operator: Operator
    decode: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return self.operator.forward(self.decode(x))

    @property
    def out(self) -> Shape:
        """That of the operator on data."""
        return self.operator.out

    def measured(self, data: Tensor) -> Tensor:
        """What the operator takes of the data."""
        return self.operator.measured(data)

    def shown(self, y: Tensor) -> Tensor:
        """As the operator shows it."""
        return self.operator.shown(y)


@dataclass(frozen=True, eq=False)
class Scaled(LinearOperator):
    """States are a multiple of the data, perhaps in another shape.

    Attributes:
        shape: Of one state.
        scale: Data over state.
        data: Shape of the data.
    """

    shape: Shape
    scale: float
    data: Shape

    @property
    def out(self) -> Shape:
        """That of the data."""
        return self.data

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return self.scale * x.reshape(-1, *self.data)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return self.scale * y.reshape(-1, *self.shape)
