"""The predicted data, drawn towards the measurement as far as both are uncertain."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from demist.core import Model, Noise, Prediction, Schedule, State
from demist.inverse.measurement import Measurement
from demist.inverse.method import Guided, Loop
from demist.inverse.near import mean_near
from demist.inverse.stepped import Moves
from demist.samplers import TrajectoryPoint


@dataclass(frozen=True)
class _Proximal:
    """A denoiser whose x0 minimises |y - A x0|^2 / std^2 + weight |x0 - x0_hat|^2 / level^2.

    The level is sigma / alpha.

    Attributes:
        model: The denoiser of the prior.
        measurement: Of each sample.
        weight: Of the prior.
    """

    model: Model
    measurement: Measurement
    weight: float

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`."""
        p, m = self.model(x, t, **cond), self.measurement
        alpha, sigma = self.schedule(t)
        ratio = self.weight * m.std**2 * (alpha / sigma) ** 2
        return p.with_x0(mean_near(m.linear, m.y, p.x0, ratio))


@dataclass(frozen=True)
class DiffPIR(Guided):
    """A half-quadratic splitting: denoise, then take the nearest data that fit the measurement.

    Nearest by the scale sigma / alpha, as if p(x0 | x_t) were a Gaussian of that deviation around
    the prediction. Without noise it is the projection of `ddnm`
    (`test_diffpir_without_noise_is_ddnm`).

    Exact nowhere but where `ddnm` is. The uncertainty of x0 is overestimated by far at high noise,
    so that measured parts follow the measurement too much, and hidden ones learn of it only through
    the model's view of the whole state: they follow the prior too much. New noise by `zeta` forgets
    spread, as in `ddrm`. As many evaluations as the solver takes, no gradients, one linear solve
    per evaluation.

    References:
        Zhu et al. 2023, "Denoising Diffusion Models for Plug-and-Play Image Restoration",
        arXiv:2305.08995, eqs. 13 and 15 and algorithm 1.

    Attributes:
        weight: Of the prior, the paper's lambda; above 0.
        zeta: Share of new noise in the paper's own step, in [0, 1], which then takes the place of
            the solver's; without it the solver takes the steps.
    """

    name: ClassVar[str] = "diffpir"
    weight: float = 1.0
    zeta: float | None = None

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"weight must be above 0, got {self.weight}")
        if self.zeta is not None and not 0 <= self.zeta <= 1:
            raise ValueError(f"zeta is a share in [0, 1], got {self.zeta}")

    def wrap(self, model: Model, measurement: Measurement) -> Model:
        """See `Guided`."""
        return _Proximal(model, measurement, self.weight)

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`."""
        own = loop if self.zeta is None else replace(loop, solver=Moves(self._renewed))
        return super().points(measurement, own)

    def _renewed(
        self, model: Model, x: Tensor, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[Tensor, None]:
        """The paper's step: a share `zeta` of the noise is new."""
        p, (alpha, sigma) = model(x, t), model.schedule(s)
        zeta = self.zeta or 0.0
        eps = math.sqrt(1 - zeta) * p.eps + math.sqrt(zeta) * noise(x)
        return alpha * p.x0 + sigma * eps, None
