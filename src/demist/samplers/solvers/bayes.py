"""A multistep method with the weights of Bayesian quadrature: the default of small states."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.numerics.multistep import apart
from demist.samplers.numerics.quadrature import quadrature_weights
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class Bayes(Solver):
    """A predictor-corrector whose weights come from a prior over data, not from polynomials.

    With u = alpha / sigma the probability-flow ODE is d(x / sigma) / du = x0, so a step is an
    integral of the prediction x0. It is estimated from the state and the last `p` predictions by
    its mean under a prior in which the data may have any scale, and a network errors that grow with
    noise: see `demist.samplers.numerics.quadrature`. Once x0 is known at the new point, the step is
    redone through it too, at no further evaluation. The last step takes x0 as it is.

    Polynomials know nothing of data. The prior knows what x0 does where data of any scale come out
    of the noise, and what it does below all scales. It is made for states whose standard deviation
    is of the order of 1, as those of trained models are.

    One evaluation per step.

    References:
        O'Hagan 1991, "Bayes-Hermite quadrature" (the mean of an integral given values of its
        integrand); Karras et al. 2022, arXiv:2206.00364, and Wang & Vastola 2023, arXiv:2311.10892
        (the flow of a Gaussian); Zhao et al. 2023, "UniPC", arXiv:2302.04867 (correction at no
        further evaluation).

    Attributes:
        p: Predictions that a step remembers, 1 to 4; the corrector uses one more.
        error: Standard deviation of what a network's x0 is wrong by in pure noise, from 0 (exact)
            on, where data has one of 1.
    """

    name = "bayes"
    grid = "angular:clean=2.3,noisy=1.38"
    p: int = 4
    error: float = 0.002

    def __post_init__(self) -> None:
        if not 1 <= self.p <= 4:
            raise ValueError(f"a step remembers p = 1 to 4 predictions, got {self.p}")
        if not 0 <= self.error <= 1:
            raise ValueError(f"the error of a network is between 0 and 1, got {self.error:g}")

    @property
    def order(self) -> int:  # type: ignore[override]
        """That of the corrector."""
        return self.p + 1

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Any]:
        """See `Solver.step`; memory: where the last step began, what it knew and where it ended."""
        p = model(x, t)
        tau = float(p.sigma / (p.alpha + p.sigma))
        past: tuple[tuple[float, State], ...] = ()
        if memory is not None:
            last_x, last_sigma, past, end = memory
            # The step that led here again, now with x0 at its end. What has changed the state
            # since, such as `constrain`, is added, or it would be lost.
            moved = None if x is end else x - end
            known = (past[0], (tau, p.x0), *past[1:])
            x = self._advance(last_x, last_sigma, p.sigma, known, tau)
            x = x if moved is None else x + moved
        alpha, sigma = model.schedule(s)
        if sigma == 0:
            return combine((alpha,), (p.x0,)), None
        next_tau = float(sigma / (alpha + sigma))
        past = apart(((tau, p.x0), *past), next_tau)[: self.p]
        end = self._advance(x, p.sigma, sigma, past, next_tau)
        return end, (x, p.sigma, past, end)

    def _advance(
        self,
        x: State,
        sigma: Tensor,
        end_sigma: Tensor,
        known: tuple[tuple[float, State], ...],
        end: float,
    ) -> State:
        """The state at flow time `end`, from `x` at that of the first of `known`."""
        a, b = quadrature_weights(tuple(tau for tau, _ in known), end, self.error)
        scales = ((1 + a) * end_sigma / sigma, *(w * end_sigma for w in b))
        return combine(scales, (x, *(x0 for _, x0 in known)))
