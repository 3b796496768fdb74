"""DPM-Solver++, DPM-Solver and UniPC with several steps, as published.

Both integrate the data in lambda = log(alpha / sigma), or the noise in -lambda with alpha and sigma
exchanged: the same formulas.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from demist.core import Model, Noise, Prediction, State, combine
from demist.samplers.numerics.multistep import Levels
from demist.samplers.numerics.polynomials import half_log_snr
from demist.samplers.solver import Solver
from demist.samplers.solvers.unipc import unipc_average

FEW = 15
"""Below so many steps the last two of DPM-Solver are of lower order."""


@dataclass(frozen=True)
class Span:
    """A step in the variable in which it is taken.

    Attributes:
        begin: The variable at the beginning.
        end: At the end.
        value: What is integrated: the data, or the noise.
        ratio: Factor of the state.
        scale: Factor of the integral, which belongs to the end.
        here: The same factor at the beginning.
    """

    begin: float
    end: float
    value: State
    ratio: float
    scale: float
    here: float

    @classmethod
    def of(cls, p: Prediction, to: tuple[Tensor, Tensor], data: bool) -> "Span":
        """From a prediction to `(alpha, sigma)`, for the data or for the noise."""
        begin, end = half_log_snr(p.alpha, p.sigma), half_log_snr(*to)
        (a_t, g_t), (a_s, g_s) = map(float, (p.alpha, p.sigma)), map(float, to)
        if data:
            return cls(begin, end, p.x0, g_s / g_t, a_s, a_t)
        return cls(-begin, -end, p.eps, a_s / a_t, g_s, g_t)


@dataclass(frozen=True)
class Placed(Solver):
    """A solver that takes its last steps otherwise than the others.

    Attributes:
        times: The whole grid, from noise to data.
        p: Order, 1 to 3.
        data: Whether the data is integrated, or the noise.
        end: Time to which the last step leads: 0, or that of the cleanest level.
    """

    name = "published"
    times: tuple[float, ...] = (1.0, 0.0)
    p: int = 2
    data: bool = True
    end: float = 0.0

    @property
    def order(self) -> int:  # type: ignore[override]
        """At most 2: the first steps are of lower order."""
        return min(self.p, 2)

    def left(self, t: Tensor) -> int:
        """How many steps there are from `t` on; 1 in the last."""
        away = [abs(time - float(t)) for time in self.times]
        return len(self.times) - 1 - away.index(min(away))

    def span(self, model: Model, p: Prediction, s: Tensor) -> Span:
        """The step from a prediction to `s`."""
        aim = s if s > 0 else s.new_tensor(self.end)
        return Span.of(p, model.schedule(aim), self.data)


@dataclass(frozen=True)
class Exponential(Placed):
    """DPM-Solver++ and DPM-Solver with up to three values, as an ODE or as an SDE.

        x_s = ratio x + scale (E D_0 + c_1 D_1 + c_2 D_2),     E = 1 - e^-h

    D_1, D_2 are divided differences times powers of h. c_1 = E / 2 ("midpoint"), or what integrates
    a line exactly ("heun"). The c_2 are as they were published, with half of the second derivative.

    References:
        Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095, algorithm 2.

    Attributes:
        exact: c_1 integrates a line.
        noisy: The SDE, data only: h counts twice in E, and noise is added.
        lower: The last steps of few are of lower order.
        euler: The last step is of first order.
    """

    exact: bool = False
    noisy: bool = False
    lower: bool = True
    euler: bool = False

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether it is the SDE."""
        return self.noisy

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, Levels]:
        """See `Solver.step`; the memory is the last values, newest first."""
        span = self.span(model, model(x, t), s)
        levels: Levels = ((span.begin, span.value), *(memory or ()))[:3]
        h = span.end - span.begin
        order = min(self._order(self.left(t)), len(levels))
        z = 2 * h if self.noisy else h
        weights = self._weights(levels[:order], h, z)
        ratio = span.ratio * (math.exp(-h) if self.noisy else 1.0)
        x = combine(
            (ratio, *(span.scale * w for w in weights)), (x, *(m for _, m in levels[:order]))
        )
        if self.noisy:
            _, sigma = model.schedule(s if s > 0 else s.new_tensor(self.end))
            x = x + (float(sigma) * math.sqrt(-math.expm1(-z))) * noise(x)
        return x, levels

    def _order(self, left: int) -> int:
        few = self.lower and len(self.times) - 1 < FEW
        if left == 1 and (self.euler or few or self.end == 0):
            return 1
        return min(self.p, 2) if left == 2 and few else self.p

    def _weights(self, levels: Levels, h: float, z: float) -> list[float]:
        """Those of the values, newest first."""
        total = -math.expm1(-z)
        if len(levels) == 1 or h == 0:
            return [total, *(0.0 for _ in levels[1:])]
        slope = 1 - total / z if self.exact or len(levels) == 3 else total / 2
        r = [(a[0] - b[0]) / h for a, b in pairwise(levels)]
        if len(levels) == 2:
            return [total + slope / r[0], -slope / r[0]]
        bend = (z - total) / z**2
        bend = -(0.5 + bend) if self.noisy else 0.5 - bend
        # D_1 = d_0 + r_0 / (r_0 + r_1) (d_0 - d_1), D_2 = (d_0 - d_1) / (r_0 + r_1)
        more = (slope * r[0] + bend) / (r[0] + r[1])
        first, second = (slope + more) / r[0], -more / r[1]
        return [total + first, second - first, -second]


@dataclass(frozen=True)
class UniformPC(Placed):
    """`UniPC`, with lower orders at the end, and steps after which nothing is corrected.

    References:
        Zhao et al. 2023, "UniPC", arXiv:2302.04867, algorithms 1 and 2.

    Attributes:
        variant: `"bh1"` or `"bh2"`.
        lower: The last steps are of lower order.
        uncorrected: Numbers of steps, from 0, whose ends are left as predicted.
    """

    variant: str = "bh2"
    lower: bool = True
    uncorrected: tuple[int, ...] = ()

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, tuple[Levels, int, State]]:
        """See `Solver.step`; memory: the last values, order and average."""
        span = self.span(model, model(x, t), s)
        left = self.left(t)
        now = (span.begin, span.value)
        levels: Levels = ()
        if memory is not None:
            levels, order, predicted = memory
            if len(self.times) - 1 - left - 1 not in self.uncorrected:
                known = (levels[0], now, *levels[1:order])
                better = unipc_average(known, now[0], self.variant)
                x = x + span.here * (better - predicted)
        levels = (now, *levels)[: self.p]
        order = min(len(levels), left) if self.lower else len(levels)
        average = unipc_average(levels[:order], span.end, self.variant)
        return span.ratio * x + span.scale * average, (levels, order, average)
