"""Filtering: the measurement is given noise at every level, and the state must fit it there."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from demist.core import Model, Noise
from demist.inverse.conjugate import inner
from demist.inverse.measurement import Measurement
from demist.inverse.near import draw_near, mean_near
from demist.inverse.particles import Crowd, Each, Particles, resampled, uniform
from demist.samplers import ancestral_variances


@dataclass(frozen=True)
class FPS(Particles):
    """A particle filter on noisy measurements y_t = alpha y + sigma A z of noisy states.

    One path of y_t for each sample is drawn by the reverse transition given y, as ancestral
    sampling would with known data. Each step then draws x_s from the model's ancestral Gaussian
    times p(y_s | x_s), which is a Gaussian again, and particles are weighted by how well their step
    foresaw y_s. `particles=1` is the method without a filter.

    Exact, for the prior that the ancestral steps of this grid sample, in the limit of many
    particles and without noise, where A x_t = y_t says all that y says. With noise the error of y
    counts anew at every level: the measured part comes too close to y (misfit below 1), and the
    spread along it is too small (`test_fps_counts_the_measurement_more_than_once`). With few
    particles hidden parts follow the prior too much. Without noise A x = y exactly. Its steps are
    its own: the caller's solver is left aside. `particles` evaluations per step and sample, no
    gradients.

    References:
        Dou & Song 2024, "Diffusion Posterior Sampling for Linear Inverse Problem Solving: A
        Filtering Perspective", ICLR, algorithms 1 and 2 and proposition B.3.
    """

    name: ClassVar[str] = "fps"

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
        k, operator, shape = self.particles, measurement.linear, crowd.log_weights.shape
        y, before, x = measurement.y[::k], crowd.seen, crowd.x
        one, (alpha, sigma) = x[::k], model.schedule(t)
        if before is None:
            before = alpha * y + sigma * operator.forward(noise(one))
            ratio = (alpha * measurement.std / sigma) ** 2
            x = mean_near(operator, before.repeat_interleave(k, 0), x, ratio)
        p, (alpha, sigma) = model(x, t), model.schedule(s)
        v, forward = ancestral_variances((p.alpha, p.sigma), (alpha, sigma))
        on_x = (sigma**2 - v).clamp(min=0).sqrt() / p.sigma
        on_x0 = alpha - on_x * p.alpha
        seen = on_x0 * y + on_x * before + v.sqrt() * operator.forward(noise(one))
        there, mean = seen.repeat_interleave(k, 0), on_x0 * p.x0 + on_x * x
        # Into clean data the step has no noise of its own: what is unsure there is x0_hat.
        own, around = (alpha * measurement.std) ** 2, v if s > 0 else forward
        error = there - operator.forward(mean)
        log_fit = -0.5 * inner(error, operator.solve(error, around, own))
        weights = crowd.log_weights + log_fit.reshape(shape)
        goes_on, weights = resampled(weights, uniform(noise, one), self.threshold)
        if s == 0:
            x = mean_near(operator, there, mean[goes_on], own / around)
        else:
            x = draw_near(operator, there, mean[goes_on], v, own, Each(noise, k))
        return Crowd(x, weights, seen)
