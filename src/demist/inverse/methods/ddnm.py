"""The predicted data, projected onto those that fit the measurement."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Model, Noise, Prediction, Schedule, State
from demist.inverse.measurement import Measurement
from demist.inverse.methods.replacement import Replacement
from demist.inverse.near import mean_near
from demist.samplers import Solver, ancestral_variances


@dataclass(frozen=True)
class _Projected:
    """A denoiser whose predicted data fit a measurement without noise: A x0 = y.

    Attributes:
        model: The denoiser of the prior.
        measurement: Of each sample.
    """

    model: Model
    measurement: Measurement

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`."""
        p, m = self.model(x, t, **cond), self.measurement
        return p.with_x0(mean_near(m.linear, m.y, p.x0, torch.zeros(())))


@dataclass(frozen=True)
class DDNM(Replacement):
    """What the measurement tells replaces that part of the predicted data: A^+ y + (I - A^+ A) x0.

    Without noise every solver goes, and the sample meets A x = y exactly
    (`test_measurements_without_noise_are_met`). With noise it is DDNM+: the paper's ancestral step
    in place of the solver, in which each singular direction is corrected as far as its noise fits
    into that of the step, whose new noise is made so much smaller; this needs the singular values.

    Exact where measured and hidden parts are independent and there is no noise, with an exact
    solver. Else as replacement: hidden parts learn of the measurement only through the model's view
    of the whole state, so that they follow the prior too much; with noise the measured part comes
    too close to y (misfit far below 1, `test_ddnm_plus_believes_the_measurement_too_much`). As many
    evaluations as the solver takes (DDNM+: one per step), no gradients.

    The paper's "time travel" is a grid with jumps (`demist.samplers.restart`), which every method
    here takes that is not said to need a falling one.

    References:
        Wang, Yu & Zhang 2022, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space
        Model", arXiv:2212.00490, eq. 13, and eqs. 17 to 19 with appendix I (DDNM+).
    """

    name: ClassVar[str] = "ddnm"

    def step(
        self,
        measurement: Measurement,
        solver: Solver,
        model: Model,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        memory: Any,
        noise: Noise,
    ) -> tuple[Tensor, Any]:
        """See `Stepped`."""
        if not measurement.std:
            return solver.step(_Projected(model, measurement), x, t, s, memory, noise)
        known = measurement.linear.spectrum
        assert known is not None
        inverses = known.inverses(x)
        r = len(inverses)
        p, (alpha, sigma) = model(x, t), model.schedule(s)
        v, _ = ancestral_variances((p.alpha, p.sigma), (alpha, sigma))
        on_x = (sigma**2 - v).clamp(min=0).sqrt() / p.sigma
        on_x0 = alpha - on_x * p.alpha
        own = on_x0 * measurement.std * inverses
        share = torch.where(own <= v.sqrt(), 1.0, v.sqrt() / own.clamp(min=1e-30))
        share = torch.where(inverses > 0, share, 0.0)
        x0, fresh = known.to_v(p.x0), known.to_v(noise(x))
        told = known.to_u(measurement.y)[:, :r] * inverses
        seen = on_x0 * (x0[:, :r] + share * (told - x0[:, :r]))
        seen = seen + (v - (share * own) ** 2).clamp(min=0).sqrt() * fresh[:, :r]
        hidden = on_x0 * x0[:, r:] + v.sqrt() * fresh[:, r:]
        return on_x * x + known.from_v(torch.cat([seen, hidden], 1)), None
