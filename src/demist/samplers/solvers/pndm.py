"""PNDM and PLMS: classical methods with DDIM's step in the place of a straight line."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, Prediction, State, combine
from demist.samplers.numerics.multistep import NO_SIGNAL
from demist.samplers.solver import Solver
from demist.samplers.solvers.ipndm import ADAMS_BASHFORTH

STARTS = {"heun": 1, "runge-kutta": 3}
"""How many steps are starting steps."""


@dataclass(frozen=True)
class PNDM(Solver):
    """Adams-Bashforth of fourth order on eps, started by pseudo Runge-Kutta or Heun steps.

        phi(x, e, t, s) = (alpha_s / alpha_t) x + (sigma_s - sigma_t alpha_s / alpha_t) e
        x_s = phi(x, e', t, s),    e' = (55 e_t - 59 e_1 + 37 e_2 - 9 e_3) / 24

    The first three steps have no such past. With `start="heun"` (PLMS, as Stable Diffusion's code
    has it) the first averages eps at both ends, at two evaluations, and the next two use
    Adams-Bashforth of lower order. With `start="runge-kutta"` (as published) each is the classical
    Runge-Kutta method with phi for its lines and the midpoint (t + s) / 2, at four evaluations.

    Second order, as the authors prove: eps' is an even average, while the ODE weighs eps by
    d(sigma / alpha). Where a start would lead out of pure noise phi is singular, and its dual, the
    same with x0 for eps and alpha for sigma, takes the step (as it does where alpha is below a
    thousandth of sigma). Where it leads out of *nearly* pure
    noise phi magnifies the differences in eps by sigma / alpha: with fewer than some 20 evaluations
    on `VP`, use `IPNDM`, which has no such start. Last step: Adams-Bashforth's, with the past there
    is.

    One evaluation per step, and one (`heun`) or nine (`runge-kutta`) more in all.

    References:
        Liu et al. 2022, "Pseudo Numerical Methods for Diffusion Models on Manifolds",
        arXiv:2202.09778, eq. 9 (phi), section 3 and algorithm 2.

    Attributes:
        start: `"heun"` or `"runge-kutta"`.
    """

    name = "pndm"
    grid = "angular"
    order = 2
    start: str = "heun"

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise ValueError(f"there is no start {self.start!r}; there are: {', '.join(STARTS)}")

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[State, ...]]:
        """See `Solver.step`; the memory is the last eps, newest first."""
        p = model(x, t)
        known = (p.eps, *(memory or ()))[:4]
        if s > 0 and len(known) <= STARTS[self.start]:
            average = pseudo_runge_kutta if self.start == "runge-kutta" else pseudo_heun
            return average(model, x, p, t, s), known
        if p.alpha == 0:
            return transfer(model, x, [1], [p], s), known
        alpha, sigma = model.schedule(s)
        ratio = alpha / p.alpha
        eps = combine(ADAMS_BASHFORTH[len(known) - 1], known)
        return ratio * x + (sigma - p.sigma * ratio) * eps, known

    def evaluations(self, steps: int) -> int:
        """One per step, and one (`heun`) or three (`runge-kutta`) more in a starting step."""
        extra = 3 if self.start == "runge-kutta" else 1
        return steps + extra * min(STARTS[self.start], steps - 1)


def transfer(
    model: Model, x: State, weights: Iterable[float], stages: list[Prediction], s: Tensor
) -> State:
    """DDIM's step from `x`, where stages[0] was made, along an average of `stages`.

    The average is that of eps, or of x0 where the step leaves (all but) pure noise.
    """
    p, (alpha, sigma) = stages[0], model.schedule(s)
    if p.alpha < NO_SIGNAL * p.sigma:
        ratio = sigma / p.sigma
        return ratio * x + (alpha - p.alpha * ratio) * combine(weights, [q.x0 for q in stages])
    ratio = alpha / p.alpha
    return ratio * x + (sigma - p.sigma * ratio) * combine(weights, [q.eps for q in stages])


def pseudo_runge_kutta(model: Model, x: State, p: Prediction, t: Tensor, s: Tensor) -> State:
    """The classical Runge-Kutta method, with `transfer` for its lines."""
    m = (t + s) / 2
    stages = [p]
    for weights, time in (((1,), m), ((0, 1), m), ((0, 0, 1), s)):
        stages.append(model(transfer(model, x, weights, stages, time), time))
    return transfer(model, x, (1 / 6, 1 / 3, 1 / 3, 1 / 6), stages, s)


def pseudo_heun(model: Model, x: State, p: Prediction, t: Tensor, s: Tensor) -> State:
    """Heun's method, with `transfer` for its lines."""
    q = model(transfer(model, x, (1,), [p], s), s)
    return transfer(model, x, (1 / 2, 1 / 2), [p, q], s)
