"""Operators that are one matrix along each of some axes: a Kronecker product.

Its singular values are the products of those of the matrices, so it is decomposed axis by axis.
"""

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.operator import LinearOperator, Operator, Shape, Spectrum, kept

Matrices = Mapping[int, Tensor]
"""Axis of a state, not counting the batch -> its matrix, float64 `(m, n)`."""


class Separable(LinearOperator):
    """A matrix along each of some axes; the others stay as they are."""

    @abc.abstractmethod
    def matrices(self) -> Matrices:
        """The matrices."""

    @kept
    def along(self) -> Matrices:
        """The matrices, made once."""
        return self.matrices()

    @property
    def out(self) -> Shape:
        """That of a state, with other lengths where a matrix is."""
        known = self.along
        return tuple(len(known[i]) if i in known else n for i, n in enumerate(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return _applied(self.along, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return _applied({axis: matrix.T for axis, matrix in self.along.items()}, y)

    def __matmul__(self, other: Operator) -> Operator:
        """Two of a kind are one, whose spectrum is known too."""
        if not isinstance(other, Separable) or self.shape != other.out:
            return super().__matmul__(other)
        both = dict(other.along)
        for axis, matrix in self.along.items():
            both[axis] = matrix @ both[axis] if axis in both else matrix
        return Kronecker(other.shape, both)

    @kept
    def _decomposed(self) -> dict[int, tuple[Tensor, Tensor, Tensor]]:
        parts = {i: torch.linalg.svd(matrix) for i, matrix in self.along.items()}
        return {i: (u, s, vt) for i, (u, s, vt) in parts.items()}

    @kept
    def _places(self) -> tuple[Tensor, Tensor, Tensor]:
        """Singular values, and where their coordinates come first: of a state, a measurement."""
        values, block = torch.ones((), dtype=torch.float64), []
        for i, n in enumerate(self.shape):
            s = self._decomposed[i][1] if i in self.along else torch.ones(n, dtype=torch.float64)
            values = values[..., None] * s
            block.append(slice(len(s)))
        return values.flatten(), _first(self.shape, block), _first(self.out, block)

    @property
    def spectrum(self) -> Spectrum:
        """From the decompositions of the matrices, made once."""
        values, of_state, of_measurement = self._places
        us = {i: u for i, (u, _, _) in self._decomposed.items()}
        vts = {i: vt for i, (_, _, vt) in self._decomposed.items()}

        def there(basis: Matrices, order: Tensor, x: Tensor) -> Tensor:
            return _applied(basis, x).flatten(1)[:, order.to(x.device)]

        def back(basis: Matrices, order: Tensor, shape: Shape, z: Tensor) -> Tensor:
            return _applied(basis, z[:, order.argsort().to(z.device)].reshape(-1, *shape))

        return Spectrum(
            values,
            lambda x: there(vts, of_state, x),
            lambda z: back({i: vt.T for i, vt in vts.items()}, of_state, self.shape, z),
            lambda y: there({i: u.T for i, u in us.items()}, of_measurement, y),
            lambda z: back(us, of_measurement, self.out, z),
        )


@dataclass(frozen=True, eq=False)
class Kronecker(Separable):
    """Matrices that are given.

    Attributes:
        shape: Of one state.
        given_matrices: Along which axis which.
    """

    shape: Shape
    given_matrices: Matrices

    def matrices(self) -> Matrices:
        """As given."""
        return self.given_matrices


def spatial(shape: Shape) -> tuple[int, ...]:
    """The axes along which data lies: the last two of images and clips, else the last."""
    n = len(shape)
    return (n - 2, n - 1) if n > 2 else (n - 1,)


def require_divisible(shape: Shape, factor: int) -> None:
    """Raise UsageError if the sides of data cannot be made smaller by a whole factor."""
    sides = [shape[axis] for axis in spatial(shape)]
    if factor < 1 or any(side % factor for side in sides):
        raise UsageError(
            f"factor {factor} does not divide the sides {' x '.join(map(str, sides))} of the data; "
            f"give one that does"
        )


def _applied(matrices: Matrices, x: Tensor) -> Tensor:
    """`x` with each matrix along its axis."""
    for axis, matrix in matrices.items():
        x = torch.tensordot(x, matrix.to(x), dims=([axis + 1], [1])).movedim(-1, axis + 1)
    return x


def _first(shape: Shape, block: list[slice]) -> Tensor:
    """Places of the flat state, those in the block first."""
    places = torch.arange(math.prod(shape)).reshape(shape)
    inside = torch.zeros(shape, dtype=torch.bool)
    inside[tuple(block)] = True
    return torch.cat([places[inside], places[~inside]])
