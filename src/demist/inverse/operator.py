"""What was measured of the data: a map `A` from states to measurements.

An `Operator` is any differentiable map; a `LinearOperator` also knows its adjoint, and with it how
to solve. Both are made for one shape of state, work on any batch, in the numbers and on the device
of what they are given, and treat every sample by itself. `A @ B` measures with B first, then A.

To add an operator, write one file in `demist/inverse/operators/` with one subclass, a frozen
dataclass whose first field is `shape`: the command line finds it by its `name`, and the contract
tests check its adjoint, its pseudo-inverse and how it solves against dense matrices.
"""

import abc
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from demist.core import keyed_normal, left
from demist.errors import UsageError
from demist.inverse.conjugate import conjugate_gradients, inner, least_squares

Shape = tuple[int, ...]
Values = Tensor | float
T = TypeVar("T")


def kept(make: Callable[[Any], T]) -> "functools.cached_property[T]":
    """A property made once, outside of inference mode, so that gradients can pass through it."""

    @functools.wraps(make)
    def outside(self: Any) -> T:
        with torch.inference_mode(False), torch.no_grad():
            return make(self)

    return functools.cached_property(outside)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A singular value decomposition, `A = U S V'`, as functions.

    `V` and `U` are orthogonal and complete: `n` numbers of a state, `m` of a measurement. The first
    `r` coordinates of both belong to `values`; all others have the singular value 0.

    Attributes:
        values: Singular values `(r,)`, at least 0, in any order, float64.
        to_v: `V'x`: states `(B, *shape)` -> `(B, n)`.
        from_v: `V z`, back.
        to_u: `U'y`: measurements `(B, *out)` -> `(B, m)`.
        from_u: `U z`, back.
    """

    values: Tensor
    to_v: Callable[[Tensor], Tensor]
    from_v: Callable[[Tensor], Tensor]
    to_u: Callable[[Tensor], Tensor]
    from_u: Callable[[Tensor], Tensor]

    def inverses(self, like: Tensor) -> Tensor:
        """1 / values, in the numbers of `like`; 0 for those that are lost in their rounding."""
        s = self.values.to(like.device)
        small = torch.finfo(like.dtype).eps ** 0.5 * s.max()
        return torch.where(s > small, 1 / s.clamp(min=torch.finfo(s.dtype).tiny), 0).to(like)


class Operator(abc.ABC):
    """A differentiable map from states to measurements; subclasses are frozen dataclasses."""

    name: ClassVar[str] = ""
    """The name on the command line; empty for one that only a program can make."""

    given: ClassVar[tuple[str, ...]] = ("shape",)
    """Fields that a program finds, and nobody writes."""

    shape: Shape
    """Of one state."""

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """`A x`: states `(B, *shape)` -> measurements `(B, *out)`."""

    @property
    def out(self) -> Shape:
        """Shape of one measurement."""
        return self._out

    @kept
    def _out(self) -> Shape:
        return tuple(self.forward(torch.zeros(1, *self.shape)).shape[1:])

    def measured(self, data: Tensor) -> Tensor:
        """The measurement that damaged data holds: all of it, unless the operator takes parts.

        Args:
            data: `(B, ...)`, what a damaged file holds.

        Raises:
            UsageError: It has the wrong shape.
        """
        if tuple(data.shape[1:]) != self.out:
            raise UsageError(
                f"the operator makes measurements of shape {self.out} from {self.shape}, and the "
                f"damaged data has {tuple(data.shape[1:])}; give data of that shape, or another "
                f"operator"
            )
        return data

    def shown(self, y: Tensor) -> Tensor:
        """A measurement as a damaged file holds it; `measured` takes it from there."""
        return y

    def __matmul__(self, other: "Operator") -> "Operator":
        return compose(self, other)


class LinearOperator(Operator):
    """A linear map with its adjoint."""

    @abc.abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """`A'y`, with `<A x, y> = <x, A'y>`: `(B, *out)` -> `(B, *shape)`."""

    @property
    def spectrum(self) -> Spectrum | None:
        """Its singular value decomposition, where known."""
        return None

    def pinv(self, y: Tensor) -> Tensor:
        """`A^+ y`: the shortest of the states whose measurement is nearest to `y`."""
        known = self.spectrum
        if known is None:
            return least_squares(self.forward, self.adjoint, y)
        z = known.to_u(y)[:, : len(known.values)] * known.inverses(y)
        return known.from_v(_filled(z, math.prod(self.shape)))

    def solve(self, y: Tensor, a: Values, b: Values) -> Tensor:
        """`(a A A' + b I)^-1 y`; where that is singular, the pseudo-inverse.

        Args:
            y: Measurements, `(B, *out)`.
            a: At least 0: a number, or one per sample `(B,)`.
            b: Likewise.
        """
        a, b = (torch.as_tensor(c).to(y) for c in (a, b))
        known = self.spectrum
        if known is None:
            return conjugate_gradients(
                lambda v: left(a, v) * self.forward(self.adjoint(v)) + left(b, v) * v, y
            )
        z = known.to_u(y)
        squares = _filled(known.values.to(y.device).square()[None], z.shape[1]).to(y)
        total = left(a, z) * squares + left(b, z)
        small = torch.finfo(y.dtype).eps * total.max(1, keepdim=True).values
        return known.from_u(torch.where(total > small, z / total.clamp(min=small), 0))

    def require_adjoint(self, like: Tensor) -> None:
        """Check once that the adjoint belongs to the map, in the numbers of `like`.

        Raises:
            UsageError: It does not, or a shape is wrong.
        """
        if getattr(self, "_checked", False):
            return
        x, y = (
            torch.from_numpy(keyed_normal(f"adjoint/{key}", (2, *shape))).to(like)
            for key, shape in (("x", self.shape), ("y", self.out))
        )
        with torch.no_grad():
            forth, back = self.forward(x), self.adjoint(y)
            if forth.shape != y.shape or back.shape != x.shape:
                raise UsageError(
                    f"operator {type(self).__name__}: the adjoint of a map from {self.shape} to "
                    f"{self.out} gives {tuple(back.shape[1:])}; it must give the shape of a state"
                )
            here, there = inner(forth, y), inner(x, back)
            size = (inner(forth, forth) * inner(y, y)).sqrt()
        off = float(((here - there).abs() / size.clamp(min=1e-30)).max())
        if off > (1e-9 if like.dtype == torch.float64 else 1e-3):
            raise UsageError(
                f"operator {type(self).__name__}: its adjoint is wrong, for <A x, y> = "
                f"{float(here[0]):.6g} but <x, A'y> = {float(there[0]):.6g} on random x and y; "
                f"mend adjoint(y), or take a nonlinear Operator, which needs none"
            )
        object.__setattr__(self, "_checked", True)


def compose(outer: Operator, inside: Operator) -> Operator:
    """`outer @ inside`: measure with `inside`, and that with `outer`.

    Raises:
        UsageError: `outer` is made for another shape than `inside` gives.
    """
    if outer.shape != inside.out:
        raise UsageError(
            f"operators do not fit: {type(inside).__name__} gives shape {inside.out}, and "
            f"{type(outer).__name__} is made for {outer.shape}; A @ B measures with B first"
        )
    if isinstance(outer, LinearOperator) and isinstance(inside, LinearOperator):
        return Product(inside.shape, outer, inside)
    return Chain(inside.shape, outer, inside)


@dataclass(frozen=True, eq=False)
class Chain(Operator):
    """One operator after another; see `compose`."""

    shape: Shape
    outer: Operator
    inside: Operator

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return self.outer.forward(self.inside.forward(x))

    @property
    def out(self) -> Shape:
        """That of the outer one."""
        return self.outer.out

    def measured(self, data: Tensor) -> Tensor:
        """What the outer one takes of the data."""
        return self.outer.measured(data)

    def shown(self, y: Tensor) -> Tensor:
        """As the outer one shows it."""
        return self.outer.shown(y)


@dataclass(frozen=True, eq=False)
class Product(Chain, LinearOperator):
    """One linear operator after another; it solves by conjugate gradients."""

    outer: LinearOperator
    inside: LinearOperator

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return self.inside.adjoint(self.outer.adjoint(y))


def _filled(z: Tensor, n: int) -> Tensor:
    """`(B, r)` with zeros after it, `(B, n)`."""
    return torch.nn.functional.pad(z, (0, n - z.shape[1]))
