"""Adams-Bashforth-Moulton on the circle, where unit-normal data stands still."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.numerics.lagrange import integral_weights
from demist.samplers.numerics.multistep import apart
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class Trig(Solver):
    """A predictor-corrector on the circular path to which every schedule can be bent.

    With z = x / r, r^2 = alpha^2 + sigma^2, and the angle phi = atan2(sigma, alpha), the
    probability-flow ODE of any schedule is that of the trigonometric flow,

        dz / dphi = v,      v = (alpha eps - sigma x0) / r.

    For data N(0, I) v vanishes and any step is exact; for other data the method spends its order on
    what differs from that. As `adams` it extrapolates v through the last `p` values, and corrects
    the step once v is known at its end, at no further evaluation. The first step and the last, onto
    clean data, are DDIM's: one step gives the mean of the data, and data that is a single point is
    met exactly. On its own grid these steps are too short to limit the order.

    One evaluation per step. For about five evaluations and data of unit scale in few dimensions;
    else `adams` and `deis` are more accurate.

    References:
        Lu & Song 2024, "Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models",
        arXiv:2410.11081, eq. 5 (TrigFlow); Hairer, Norsett & Wanner 1993, section III.1.

    Attributes:
        p: Values that the predictor remembers, 1 or 2; the corrector uses one more.
    """

    name = "trig"
    grid = "angular:clean=1.75,noisy=1"
    p: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.p <= 2:
            raise ValueError(f"the predictor's order p must be 1 or 2, got {self.p}")

    @property
    def order(self) -> int:  # type: ignore[override]
        """That of the corrector."""
        return self.p + 1

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Any]:
        """See `Solver.step`; memory: where the last step began and ended, the last values of v."""
        p = model(x, t)
        radius, phi = torch.hypot(p.alpha, p.sigma), float(torch.atan2(p.sigma, p.alpha))
        v = combine((p.alpha / radius, -p.sigma / radius), (p.eps, p.x0))
        values: tuple[tuple[float, State], ...] = ((phi, v),)
        z = (1 / radius) * x
        if memory is not None:
            begun, past, end = memory
            values = (*values, *past)
            # What has changed the state since, such as `constrain`, is added, or it would be lost.
            moved = None if x is end else (1 / radius) * (x - end)
            z = _advance(begun, past[0][0], phi, values)
            z = z if moved is None else z + moved
        alpha, sigma = model.schedule(s)
        next_phi = float(torch.atan2(sigma, alpha))
        values = apart(values, next_phi)[: self.p]
        if memory is None or s == 0:
            end = combine((alpha, sigma), (p.x0, p.eps))
        else:
            there = _advance(z, phi, next_phi, values)
            end = torch.hypot(alpha, sigma) * there
        return end, (z, values, end)


def _advance(z: State, start: float, end: float, values: tuple[tuple[float, State], ...]) -> State:
    """`z` plus the integral of v from `start` to `end`, interpolated through `values`."""
    weights = integral_weights([node for node, _ in values], start, end)
    return combine((1, *weights), (z, *(v for _, v in values)))
