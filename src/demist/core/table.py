"""Discrete schedules as continuous ones with knots.

Step i (0-based) of T sits at t = (i + 1) / T, and t = 0 is exactly clean. Between knots the angle
`atan2(sigma, alpha)` is linear in t, which is regular at both ends even where alpha is zero.
"""

import math

import torch
from torch import Tensor

from demist.core.schedule import Schedule


class Table(Schedule):
    """The schedule of a discrete model, from its `alpha_bar`.

    Args:
        alpha_bar: Cumulative products of 1 - beta, shape `(T,)`, decreasing from below 1 to at
            least 0 (Ho et al. 2020, eq. 4). `alpha_bar[i] = alpha^2` at t = (i + 1) / T.

    Raises:
        ValueError: If `alpha_bar` is not such a sequence.
    """

    name = "table"
    saved_as = "Table"

    def __init__(self, alpha_bar: Tensor | tuple[float, ...]):
        given = torch.as_tensor(alpha_bar, dtype=torch.float64).cpu().flatten()
        bar = torch.cat([torch.ones(1, dtype=torch.float64), given])
        if len(bar) < 2 or not (bar.diff() < 0).all() or not bar[-1] >= 0:
            raise ValueError(
                f"alpha_bar must decrease strictly, from below 1 to at least 0; got {len(bar) - 1} "
                f"values from {bar[1:2].tolist()} to {bar[-1:].tolist()}"
            )
        self.alpha_bar = bar[1:]
        self._knots = torch.atan2((1 - bar).sqrt(), bar.sqrt())
        self._spans = torch.stack([self._knots[:-1], self._knots[1:]], dim=-1)

    @property
    def steps(self) -> int:
        """Number T of discrete steps."""
        return len(self.alpha_bar)

    @classmethod
    def from_betas(cls, betas: Tensor) -> "Table":
        """The table whose forward steps add variances `betas`, shape `(T,)`, each in (0, 1]."""
        return Table(torch.cumprod(1 - betas.double(), 0))

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angle = self.angle(t)
        # sin(pi/2 - angle) is cos(angle), but exactly zero at the end of a zero-terminal table.
        return torch.sin(math.pi / 2 - angle), torch.sin(angle)

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        low, high, _ = self._between(t)
        slope = (high - low) * self.steps
        alpha, sigma = self(t)
        return -sigma * slope, alpha * slope

    def angle(self, t: Tensor) -> Tensor:
        return torch.lerp(*self._between(t))

    def time_at_angle(self, angle: Tensor) -> Tensor:
        knots = self._knots.to(angle)
        i = torch.searchsorted(knots, angle.contiguous(), right=True).clamp(1, self.steps) - 1
        fraction = (angle - knots[i]) / (knots[i + 1] - knots[i])
        return ((i + fraction) / self.steps).clamp(0, 1)

    def _between(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The angles at the knots around `t`, and how far between them `t` lies."""
        u = t * self.steps
        i = u.long().clamp(0, self.steps - 1)
        low, high = self._spans.to(t)[i].unbind(-1)
        return low, high, u - i


def rescale_to_zero_terminal(alpha_bar: Tensor) -> Tensor:
    """Shift and scale sqrt(alpha_bar) so that the last is 0 and the first is kept.

    References:
        Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed",
        arXiv:2305.08891, algorithm 1.
    """
    root = alpha_bar.double().sqrt()
    return ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
