"""Diffusion posterior sampling: after each step, down the gradient of the residual's length."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Model, Prediction, Schedule, State, left
from demist.errors import UsageError
from demist.inverse.conjugate import inner
from demist.inverse.measurement import Measurement
from demist.inverse.method import Loop, Method
from demist.inverse.tangent import Led, Tangent
from demist.samplers import TrajectoryPoint


@dataclass(frozen=True)
class DPS(Method):
    """After each step the state moves against the gradient of the residual's length.

    A step of the solver from x_t to x_s is followed by

        x_s <- x_s - scale * d|y - A x0_hat(x_t)| / dx_t

    with the length of each sample's own residual, so that none depends on its batch.

    Never exact: the shift has the same size whatever the noise and the length of the step, so that
    `scale` belongs to a problem and a number of steps and must be tuned; benchmarks/posteriors.py
    and restore_digits.py tune it for each problem and show what each value gave. One evaluation and
    one gradient a step, whatever the operator and the noise (whose size it does not use). Modes
    that the measurement excludes are left too late or never
    (test_mmps_with_langevin_weighs_the_modes).

    References:
        Chung et al. 2023, "Diffusion Posterior Sampling for General Noisy Inverse Problems",
        arXiv:2209.14687, algorithm 1, with the step size of its appendix D.1; its scale is 0.3 to
        1 for 1000 steps on images of 256 x 256 pixels.

    Attributes:
        scale: Step size.
    """

    name: ClassVar[str] = "dps"
    solver: ClassVar[str | None] = "ddim:eta=1"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.scale >= 0:
            raise UsageError(f"scale is {self.scale:g}; it must be a number of at least 0")

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`."""
        watched = _Watched(loop.model, measurement)

        def then(x: State, s: Tensor) -> State:
            for slope in watched.slopes:
                x = x - self.scale * slope
            watched.slopes.clear()
            return x if loop.constrain is None else loop.constrain(x, s)

        return replace(loop, model=watched, constrain=then).points()


@dataclass(frozen=True)
class _Watched:
    """A denoiser that notes, at the first state of each step, the slope of the residual's length.

    Attributes:
        model: The denoiser.
        measurement: Of every sample.
        slopes: None or one; who takes it clears the list.
    """

    model: Model
    measurement: Measurement
    slopes: list[Tensor] = field(default_factory=list)

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """What the model predicts."""
        if self.slopes:
            return self.model(x, t, **cond)
        return Led(self.model, self.measurement, self._noted)(x, t, **cond)

    def _noted(self, at: Tangent) -> Tensor:
        y = at.residual
        length = inner(y, y).sqrt().clamp(min=torch.finfo(y.dtype).tiny)
        self.slopes.append(-at.pulled(at.operator.adjoint(y / left(length, y))))
        return torch.zeros_like(at.prediction.x0)
