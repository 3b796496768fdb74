"""Adams-Bashforth-Moulton in flow time: the default of images."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, State, combine
from demist.samplers.numerics.lagrange import integral_weights
from demist.samplers.numerics.multistep import apart
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class Adams(Solver):
    """A predictor-corrector on the straight path to which every schedule can be bent.

    With z = x / (alpha + sigma) and the flow time tau = sigma / (alpha + sigma), which runs from 0
    (data) to 1 (noise), the probability-flow ODE of any schedule is that of rectified flow,

        dz / dtau = v,      v = eps - x0,

    and nothing in it is singular at either end. So the classical method for smooth equations
    applies: extrapolate v through the last `p` values (Adams-Bashforth), and once v is known at the
    new point, redo the step through it (Adams-Moulton), at no further evaluation. The first step
    is DDIM's and the order grows by one per step; on grids that begin with short steps these
    first steps, corrected too, do not limit the order. The last step is predicted only.

    With `last = 1` the last step takes the prediction of clean data as it is, as DDIM does. Where
    steps are few that step is long, and to extrapolate over it is to enlarge the errors of the
    network. Its own error is of order 2 `clean` on `angular` grids: 3.5 on the default one.

    One evaluation per step. `demist.samplers.usual` and `settled` say which options are taken where
    nobody chooses.

    References:
        Hairer, Norsett & Wanner 1993, "Solving Ordinary Differential Equations I", section III.1;
        Zhao et al. 2023, "UniPC", arXiv:2302.04867 (correction at no further evaluation).

    Attributes:
        p: Values that the predictor remembers, 1 to 3; the corrector uses one more.
        last: At most so many of them are used in the step onto clean data, 1 to 3.
    """

    name = "adams"
    grid = "angular"
    p: int = 3
    last: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.p <= 3:
            raise ValueError(f"the predictor's order p must be 1, 2 or 3, got {self.p}")
        if not 1 <= self.last <= 3:
            raise ValueError(f"the values of the last step must be 1, 2 or 3, got {self.last}")

    @property
    def order(self) -> int:  # type: ignore[override]
        """That of the corrector; with a simpler last step at most 3."""
        return self.p + 1 if self.last >= self.p else min(self.p + 1, 3)

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Any]:
        p = model(x, t)
        scale = p.alpha + p.sigma
        tau, v = float(p.sigma / scale), p.eps - p.x0
        past: tuple[tuple[float, State], ...] = ()
        if memory is not None:
            last_x, last_scale, past, end = memory
            # Adams-Moulton: the step that led here again, now with v at its end. What has changed
            # the state since, such as `constrain`, is added, or it would be lost.
            moved = None if x is end else x - end
            x = _advance(last_x, last_scale, scale, past[0][0], tau, ((tau, v), *past))
            x = x if moved is None else x + moved
        alpha, sigma = model.schedule(s)
        next_scale = alpha + sigma
        next_tau = float(sigma / next_scale)
        past = apart(((tau, v), *past), next_tau)[: self.p]
        used = past[: self.last] if sigma == 0 else past
        # Adams-Bashforth: on to s through the values known so far.
        end = _advance(x, scale, next_scale, tau, next_tau, used)
        return end, (x, scale, past, end)


def _advance(
    x: State,
    scale: Tensor,
    end_scale: Tensor,
    tau: float,
    end_tau: float,
    values: tuple[tuple[float, State], ...],
) -> State:
    """`end_scale (x / scale + integral of v)`, with v interpolated through `values`."""
    weights = integral_weights([node for node, _ in values], tau, end_tau)
    scales = (end_scale / scale, *(w * end_scale for w in weights))
    return combine(scales, (x, *(v for _, v in values)))
