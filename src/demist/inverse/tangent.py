"""A denoiser near one state: what it predicts, and how its data moves with the state.

The gradient of log p(y | x_t) that posterior samplers need comes down to one matrix,

    C = (sigma^2 / alpha) dx0_hat / dx_t,

which for the best denoiser is the covariance of x0 given x_t (Tweedie's formula, once more
differentiated). A shift of the predicted data by `C A' u` is a shift of the score by
`(dx0_hat/dx_t)' A' u`, so methods differ in `u` only.

In pure noise alpha is 0, the Jacobian too, and C is the covariance of all data: it is taken from
where alpha / sigma is `near`, and there the state is scaled to that noise.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from demist.core import Model, Prediction, Schedule, copied, leaf, left, straightened
from demist.inverse.conjugate import inner
from demist.inverse.measurement import Measurement
from demist.inverse.operator import LinearOperator, Operator, Shape

Shift = Callable[["Tangent"], Tensor]
"""What a measurement adds to the predicted data, given the tangent there."""


@dataclass(frozen=True, eq=False)
class Tangent:
    """A prediction, a measurement of it, and their derivatives.

    Attributes:
        prediction: Of the denoiser.
        measurement: Of every sample.
        t: The time, of shape `()`, `(B,)` or `(B, F)`.
        gain: sigma^2 / alpha, aligned with the state.
        pulled: `v -> J'v` on states, with the Jacobian J of the predicted data by x_t.
    """

    prediction: Prediction
    measurement: Measurement
    t: Tensor
    gain: Tensor
    pulled: Callable[[Tensor], Tensor]

    @functools.cached_property
    def operator(self) -> LinearOperator:
        """The measurement's, or its linear approximation at the predicted data."""
        operator = self.measurement.operator
        if isinstance(operator, LinearOperator):
            return operator
        return Linearised.at(operator, self.prediction.x0.detach())

    @functools.cached_property
    def _clean(self) -> Tensor:
        return self.measurement.operator.forward(self.prediction.x0.detach())

    @property
    def residual(self) -> Tensor:
        """`y - A x0_hat`, `(B, *out)`."""
        return self.measurement.y - self._clean

    @property
    def variance(self) -> Tensor:
        """Of the measurement's noise if the data is as predicted; broadcasts with `residual`."""
        return self.measurement.noise.variance(self._clean)

    def covariance(self, v: Tensor) -> Tensor:
        """`C v`, with the transposed Jacobian."""
        return self.gain * self.pulled(v)

    def explained(self, u: Tensor) -> Tensor:
        """`C A'u`."""
        return self.covariance(self.operator.adjoint(u))

    def spread(self, u: Tensor) -> Tensor:
        """`A C A' u`: covariance of the measured data given x_t, without the noise, times `u`."""
        return self.operator.forward(self.explained(u))

    def kept(self, shift: Tensor) -> Tensor:
        """`shift`, of each sample no more of it than fits the measurement best.

        A shift by the true posterior mean always stays short of that; with the Jacobian of a
        network, or draws too few, one may go beyond it by any factor.
        """
        seen = self.operator.forward(shift)
        length = inner(seen, seen)
        best = inner(seen, self.residual) / length.clamp(min=torch.finfo(seen.dtype).tiny)
        return left(torch.where(length > 0, best.clamp(0, 1), 1), shift) * shift

    def moved(self, shift: Tensor) -> Prediction:
        """The prediction with `shift` added to its data, on the same line through x_t."""
        p = self.prediction
        ratio = torch.where(p.sigma > 0, p.alpha / p.sigma, 0)
        return replace(p, x0=p.x0 + shift, eps=p.eps - ratio * shift)


@dataclass(frozen=True)
class Led:
    """A denoiser whose data a measurement shifts.

    Inside somebody else's gradient it is differentiated as if the shift were constant.

    Attributes:
        model: The prior.
        measurement: Of every sample of the batch.
        shift: How.
    """

    model: Model
    measurement: Measurement
    shift: Shift

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`."""
        model = straightened(self.model)
        with torch.inference_mode(False), torch.enable_grad():
            at, given = leaf(x), copied(cond)
            times = _away_from_noise(self.schedule, t, at.dtype)
            p, point = model(at, t, **given), at
            x0 = p.x0
            if times is not None:
                before, after = (left(self.schedule(c)[1], at) for c in (t, times))
                point = (at * (after / before)).detach().requires_grad_()
                x0 = model(point, times, **given).x0
            alpha, sigma = (left(c, x0) for c in self.schedule(t if times is None else times))

            def pulled(v: Tensor) -> Tensor:
                found: Tensor
                (found,) = torch.autograd.grad(x0, point, v, retain_graph=True)
                return found

            tangent = Tangent(
                p if at is x else _detached(p), self.measurement, t, sigma**2 / alpha, pulled
            )
            with torch.no_grad():
                shift = tangent.kept(self.shift(tangent))
            return tangent.moved(shift)


@dataclass(frozen=True, eq=False)
class Linearised(LinearOperator):
    """The derivative of an operator at some states, by differentiating it once and twice.

    It belongs to these states: row b acts as the derivative at row b.

    Attributes:
        shape: Of one state.
        back: `u -> A'u`, with a graph.
        probe: A measurement that `back` was differentiated at.
        pulled: `back(probe)`.
    """

    shape: Shape
    back: Callable[[Tensor], Tensor]
    probe: Tensor
    pulled: Tensor

    @classmethod
    def at(cls, operator: Operator, x0: Tensor) -> "Linearised":
        """The derivative of `operator` at the states `x0`."""
        # The backends of attention that are faster cannot be differentiated twice.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            point = x0.detach().clone().requires_grad_()
            clean = operator.forward(point)

            def back(u: Tensor) -> Tensor:
                found: Tensor
                (found,) = torch.autograd.grad(
                    clean, point, u, retain_graph=True, create_graph=u.requires_grad
                )
                return found

            probe = torch.zeros_like(clean).requires_grad_()
            return cls(operator.shape, back, probe, back(probe))

    @property
    def out(self) -> Shape:
        """That of the operator."""
        return tuple(self.probe.shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        found: Tensor
        (found,) = torch.autograd.grad(self.pulled, self.probe, x, retain_graph=True)
        return found

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return self.back(y)


def _away_from_noise(schedule: Schedule, t: Tensor, dtype: torch.dtype) -> Tensor | None:
    """`t`, with a little signal where there is none; None: there is enough everywhere.

    What a network gets wrong in its Jacobian grows by the inverse of `near`, what differs from the
    limit by `near`: a closed form in float64 stands much less of it.
    """
    near = 1e-7 if dtype == torch.float64 else 1e-2
    alpha, sigma = schedule(t)
    low = alpha < near * sigma
    if not low.any():
        return None
    angle = torch.tensor(math.atan2(1, near), dtype=t.dtype, device=t.device)
    return torch.where(low, schedule.time_at_angle(angle), t)


def _detached(p: Prediction) -> Prediction:
    x0, eps, alpha, sigma = (c.detach() for c in (p.x0, p.eps, p.alpha, p.sigma))
    return Prediction(x0, eps, alpha, sigma, None if p.spread is None else p.spread.detach())
