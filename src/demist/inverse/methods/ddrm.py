"""Denoising in the singular directions of the operator."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Model, Noise
from demist.inverse.measurement import Measurement
from demist.inverse.stepped import Stepped
from demist.samplers import Solver


@dataclass(frozen=True)
class DDRM(Stepped):
    """Each singular direction by itself: what is measured well is put back, the rest is denoised.

    With b = y / s in a direction of singular value s, and its noise level l = std / s: a direction
    without measurement follows DDIM with `eta`; one whose l is above the level reached follows it
    too, with the noise (b - x0) / l that the measurement shows; one whose l is below is drawn
    around `eta_b b + (1 - eta_b) x0`.

    Its steps are its own: the caller's solver is left aside. Exact with `eta=0` where measured and
    hidden parts are independent and there is no noise. With `eta` the noise is renewed around the
    predicted mean at every step, which forgets the spread of what is possible: it is too small, the
    more so the more steps (`test_ddrm_is_too_sure`), and the misfit too. Hidden directions learn of
    the measurement only through what the model makes of the whole state, so that modes are found
    with wrong weights (`test_ddrm_is_far_from_the_weights_of_25_modes`). One evaluation per step,
    no gradients.

    References:
        Kawar et al. 2022, "Denoising Diffusion Restoration Models", arXiv:2201.11793, eqs. 7 and 8,
        on any schedule through x / alpha, whose noise level is sigma / alpha.

    Attributes:
        eta: Share of new noise, in [0, 1].
        eta_b: Weight of the measurement where it is better than the level, in [0, 1].
    """

    name: ClassVar[str] = "ddrm"
    spectral: ClassVar[bool] = True
    eta: float = 0.85
    eta_b: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.eta <= 1 and 0 <= self.eta_b <= 1):
            raise ValueError(f"eta and eta_b are in [0, 1], got {self.eta} and {self.eta_b}")

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
    ) -> tuple[Tensor, None]:
        """See `Stepped`."""
        known = measurement.linear.spectrum
        assert known is not None
        inverses = known.inverses(x)
        r = len(inverses)
        p, (alpha, sigma) = model(x, t), model.schedule(s)
        x0, eps, fresh = known.to_v(p.x0), known.to_v(p.eps), known.to_v(noise(x))
        old = math.sqrt(1 - self.eta**2)
        free = alpha * x0 + sigma * (old * eps + self.eta * fresh)
        told = known.to_u(measurement.y)[:, :r] * inverses
        level, mean, new = measurement.std * inverses, x0[:, :r], fresh[:, :r]
        away = (told - mean) / level.clamp(min=torch.finfo(x.dtype).tiny)
        near = alpha * mean + sigma * (old * away + self.eta * new)
        rest = (sigma**2 - (alpha * self.eta_b * level) ** 2).clamp(min=0).sqrt()
        far = alpha * (self.eta_b * told + (1 - self.eta_b) * mean) + rest * new
        seen = torch.where(alpha * level <= sigma, far, near)
        seen = torch.where(inverses > 0, seen, free[:, :r])
        return known.from_v(torch.cat([seen, free[:, r:]], 1)), None
