"""The twisted diffusion sampler: guided particles, weighted by what guidance got wrong."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Model, Noise, Prediction, leaf
from demist.inverse.conjugate import inner
from demist.inverse.measurement import GaussianNoise, Measurement
from demist.inverse.operator import LinearOperator
from demist.inverse.particles import Crowd, Each, Particles, resampled, uniform
from demist.samplers import ancestral_variances


@dataclass(frozen=True)
class TDS(Particles):
    """Sequential Monte Carlo whose particles look ahead at the measurement.

    A guess of p(y | x_t), the twist, leads each particle's ancestral step by its gradient, and its
    weight takes back what the guess got wrong. For a linear operator the guess is a Gaussian around
    A x0_hat of variance std^2 + r^2 A A' with r = width sigma / sqrt(width^2 alpha^2 + sigma^2);
    for others it is p(y | x0 = x0_hat).

    Exact for any model, operator and noise in the limit of many particles, for the prior that the
    ancestral steps of this grid sample: the only method here that is
    (`test_the_distance_of_tds_falls_with_its_particles_to_the_floor`). With few particles the
    modes' weights are off (`test_tds_comes_to_the_posterior_with_its_particles`); the spread is
    right, or a little small on coarse grids
    (`test_tds_has_the_spread_and_the_misfit_of_the_posterior`). Needs noise: weights divide by it.

    Its steps are its own: the caller's solver is left aside. `particles` evaluations and gradients
    per step and sample, side by side, so that memory grows alike.

    References:
        Wu et al. 2023, "Practical and Asymptotically Exact Conditional Sampling in Diffusion
        Models", arXiv:2306.17775, algorithm 1; Song et al. 2023, "Pseudoinverse-Guided Diffusion
        Models for Inverse Problems", eq. 7 (the variance r^2).

    Attributes:
        width: Standard deviation of the data that the twist takes for granted; a wrong one costs
            particles, not exactness.
    """

    name: ClassVar[str] = "tds"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    noisy: ClassVar[bool] = True
    width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.width > 0:
            raise ValueError(f"width must be above 0, got {self.width}")

    def moved(
        self,
        measurement: Measurement,
        model: Model,
        crowd: Crowd,
        t: Tensor,
        s: Tensor,
        noise: Noise,
    ) -> Crowd:
        """See `Particles`."""
        k, shape = self.particles, crowd.log_weights.shape
        p, log_twist, slope = self._twisted(measurement, model, crowd.x, t)
        whole = crowd.log_weights + log_twist.reshape(shape)
        goes_on, log_weights = resampled(whole, uniform(noise, crowd.x[::k]), self.threshold)
        alpha, sigma = model.schedule(s)
        v, _ = ancestral_variances((p.alpha, p.sigma), (alpha, sigma))
        mean = alpha * p.x0 + (sigma**2 - v).clamp(min=0).sqrt() * p.eps
        # The twist's slope at s, of which that at t is a guess, in units of the step's deviation.
        lead = (v.sqrt() * p.alpha / alpha * slope)[goes_on]
        fresh = Each(noise, k)(crowd.x)
        x = mean[goes_on] + v.sqrt() * (lead + fresh)
        change = -log_twist[goes_on] - 0.5 * inner(lead, lead) - inner(lead, fresh)
        if s == 0:
            change = change + measurement.log_likelihood(x)
        return Crowd(x, log_weights + change.reshape(shape))

    def _twisted(
        self, m: Measurement, model: Model, x: Tensor, t: Tensor
    ) -> tuple[Prediction, Tensor, Tensor]:
        """The prediction, the log of the twist `(B K,)` and its gradient."""
        with torch.inference_mode(False), torch.enable_grad():
            at = leaf(x)
            p = self.through(model)(at, t)
            if isinstance(m.operator, LinearOperator) and isinstance(m.noise, GaussianNoise):
                data = p.x0.detach()
                alpha, sigma = p.alpha.detach(), p.sigma.detach()
                r = self.width * sigma / torch.hypot(self.width * alpha, sigma)
                error = m.y - m.operator.forward(data)
                pull = m.operator.solve(error, r**2, m.std**2)
                log_twist = -0.5 * inner(error, pull)
                (slope,) = torch.autograd.grad(p.x0, at, m.operator.adjoint(pull))
            else:
                log_twist = m.log_likelihood(p.x0)
                (slope,) = torch.autograd.grad(log_twist.sum(), at)
        known: Any = [c.detach() for c in (p.x0, p.eps, p.alpha, p.sigma)]
        return Prediction(*known), log_twist.detach(), slope
