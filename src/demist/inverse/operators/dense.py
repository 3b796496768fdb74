"""Any linear map, as a matrix."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.operator import LinearOperator, Shape, Spectrum, kept


@dataclass(frozen=True, eq=False)
class Dense(LinearOperator):
    """A matrix times the flat state.

    Attributes:
        shape: Of one state, `n` numbers.
        matrix: `(m, n)`.

    Raises:
        UsageError: The matrix has another number of columns.
    """

    shape: Shape
    matrix: Tensor = field(metadata={"file": "matrix", "needs": "a file: write dense:FILE"})
    name: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        n = torch.Size(self.shape).numel()
        if self.matrix.ndim != 2 or self.matrix.shape[1] != n or not len(self.matrix):
            raise UsageError(
                f"the matrix has shape {tuple(self.matrix.shape)} and the data {self.shape}, that "
                f"is {n} numbers; it must be (measurements, {n})"
            )

    @property
    def out(self) -> Shape:
        """One number for each row."""
        return (len(self.matrix),)

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return x.flatten(1) @ self.matrix.to(x).T

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return (y @ self.matrix.to(y)).reshape(-1, *self.shape)

    @kept
    def _decomposed(self) -> tuple[Tensor, Tensor, Tensor]:
        u, s, vt = torch.linalg.svd(self.matrix.double(), full_matrices=True)
        return u, s, vt

    @property
    def spectrum(self) -> Spectrum:
        """By a decomposition of the matrix, made once."""
        u, s, vt = self._decomposed
        return Spectrum(
            s,
            lambda x: x.flatten(1) @ vt.to(x).T,
            lambda z: (z @ vt.to(z)).reshape(-1, *self.shape),
            lambda y: y @ u.to(y),
            lambda z: z @ u.to(z).T,
        )
