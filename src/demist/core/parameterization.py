"""What the network's raw output means: one row `target = a x0 + b eps` each.

Together with `x_t = alpha x0 + sigma eps` a row makes a 2x2 system for (x0, eps), and one inverse
serves all of them. Its determinant `alpha b - sigma a` says where a row is singular: `Eps` where
alpha = 0, `X0` and `Score` where sigma = 0, `V`, `Velocity` (on a path without cusps) and `Karras`
nowhere.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from demist.core.state import State, combine

Rates = Callable[[], tuple[Tensor, Tensor]]
"""Gives `(alpha', sigma')` when asked; only one row needs them."""

Scalar = Tensor | float


class Parameterization(abc.ABC):
    """A row `(a, b)` of `target = a x0 + b eps`."""

    name: ClassVar[str]
    """The name on the command line."""

    @abc.abstractmethod
    def row(self, alpha: Tensor, sigma: Tensor, rates: Rates) -> tuple[Scalar, Scalar]:
        """The coefficients `(a, b)` where the path is at `(alpha, sigma)`."""

    def target(self, x0: State, eps: State, alpha: Tensor, sigma: Tensor, rates: Rates) -> State:
        """What a perfect network would output."""
        a, b = self.row(alpha, sigma, rates)
        return a * x0 + b * eps

    def invert(
        self, output: State, x: State, alpha: Tensor, sigma: Tensor, rates: Rates
    ) -> tuple[State, State]:
        """Solve `alpha x0 + sigma eps = x`, `a x0 + b eps = output` for `(x0, eps)`.

        Where some of many times are clean (sigma = 0) and the row cannot be solved, x0 is read off
        the state, and eps is 0.

        Raises:
            ValueError: At a noisy time where the row cannot be solved. (Of many times on a GPU,
                which would have to be waited for, the result is infinite instead.)
        """
        a, b = self.row(alpha, sigma, rates)
        det = alpha * b - sigma * a
        if det.ndim:
            return self._invert_many(output, x, alpha, sigma, a, b, det)
        self._require_solvable(det == 0, alpha, sigma)
        to_x0, to_eps = (b / det, -sigma / det), (-a / det, alpha / det)
        return combine(to_x0, (x, output)), combine(to_eps, (x, output))

    def _invert_many(
        self,
        output: State,
        x: State,
        alpha: Tensor,
        sigma: Tensor,
        a: Scalar,
        b: Scalar,
        det: Tensor,
    ) -> tuple[State, State]:
        """The same at many times, some of which may be clean."""
        open_ = ~(det.isfinite() & (det != 0))
        clean = open_ & (sigma == 0)
        if not det.is_cuda:
            self._require_solvable(open_ & ~clean, alpha, sigma)
        of_x, of_output = torch.where(clean, 1 / alpha, b / det), -sigma / det
        x0 = of_x * x + of_output.masked_fill(clean, 0) * output
        eps = (-a / det).masked_fill(clean, 0) * x + (alpha / det).masked_fill(clean, 0) * output
        return x0, eps

    def _require_solvable(self, open_: Tensor, alpha: Tensor, sigma: Tensor) -> None:
        if open_.any():
            first = [float(c.expand_as(open_)[open_][0]) for c in (alpha, sigma)]
            raise ValueError(
                f"{type(self).__name__} cannot tell x0 and eps apart at alpha = {first[0]:g}, "
                f"sigma = {first[1]:g}; start the grid a little below t = 1 (and end it at 0), or "
                f"let the network predict V, Velocity or Karras"
            )


@dataclass(frozen=True)
class X0(Parameterization):
    """The clean data."""

    name = "x0"

    def row(self, alpha: Tensor, sigma: Tensor, rates: Rates) -> tuple[Scalar, Scalar]:
        return 1.0, 0.0


@dataclass(frozen=True)
class Eps(Parameterization):
    """The noise (Ho et al. 2020, eq. 14)."""

    name = "eps"

    def row(self, alpha: Tensor, sigma: Tensor, rates: Rates) -> tuple[Scalar, Scalar]:
        return 0.0, 1.0


@dataclass(frozen=True)
class V(Parameterization):
    """alpha eps - sigma x0 (Salimans & Ho 2022, "Progressive Distillation", appendix D)."""

    name = "v"

    def row(self, alpha: Tensor, sigma: Tensor, rates: Rates) -> tuple[Scalar, Scalar]:
        return -sigma, alpha


@dataclass(frozen=True)
class Velocity(Parameterization):
    """dx/dt along the path, alpha' x0 + sigma' eps (Lipman et al. 2022, eq. 13)."""

    name = "velocity"

    def row(self, alpha: Tensor, sigma: Tensor, rates: Rates) -> tuple[Scalar, Scalar]:
        return rates()


@dataclass(frozen=True)
class Score(Parameterization):
    """The score of the noisy density, -eps / sigma (Song et al. 2021, eq. 7)."""

    name = "score"

    def row(self, alpha: Tensor, sigma: Tensor, rates: Rates) -> tuple[Scalar, Scalar]:
        return 0.0, -1 / sigma


@dataclass(frozen=True)
class Karras(Parameterization):
    """EDM's preconditioning: a unit-variance target for data of standard deviation `sigma_data`.

    For alpha = 1 it inverts to `x0 = c_skip x + c_out F` of Karras et al. 2022, table 1.
    """

    name = "karras"
    sigma_data: float = 0.5

    def row(self, alpha: Tensor, sigma: Tensor, rates: Rates) -> tuple[Scalar, Scalar]:
        total = torch.hypot(alpha * self.sigma_data, sigma)
        return sigma / (self.sigma_data * total), -alpha * self.sigma_data / total
