"""Any differentiable function."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from demist.inverse.operator import Operator, Shape


@dataclass(frozen=True, eq=False)
class Function(Operator):
    """A differentiable function of states; methods take its gradient by autograd.

    Attributes:
        shape: Of one state.
        function: States `(B, *shape)` to measurements, row by row.
    """

    shape: Shape
    function: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return self.function(x)
