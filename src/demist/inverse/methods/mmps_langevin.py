"""Particles that MMPS leads and weighs, moved by Langevin steps at every noise level."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from demist.core import Model, Noise, Prediction
from demist.errors import UsageError
from demist.inverse.conjugate import inner
from demist.inverse.measurement import GaussianNoise, Measurement
from demist.inverse.methods.mmps import MMPS
from demist.inverse.particles import PURE, Crowd, Each, Particles, resampled, uniform
from demist.inverse.tangent import Led, Tangent
from demist.samplers import ancestral_variances


@dataclass(frozen=True)
class MMPSLangevin(Particles):
    """A few particles, led and weighed by the likelihood of `MMPS`, and moved by Langevin steps.

    At a noisy level the Gaussian g that `MMPS` takes for p(y | x_t) weighs modes wrongly, and once
    it is right Langevin steps no longer go from mode to mode. So each particle has a weight, which
    at every level takes back what the one before got wrong:

        w <- w g(x_s) p(x_s | x_t) / (g(x_t) q(x_s | x_t)),
        log g(x) = -r' (A C A' + noise)^-1 r / 2,    r = y - A x0_hat,

    with the ancestral step p of the prior, and q that of `MMPS`. A crowd that is resampled holds
    copies, and its steps are those of a coarse grid: `n` Langevin steps by the score of p(x_t) and
    the guidance of `MMPS` tell copies apart and forget the grid.

    Exact on Gaussians up to grid and `delta`
    (test_methods_led_by_the_jacobian_are_right_on_gaussians). On modes what g gets wrong costs
    particles: few of them over- or underestimate modes that are told apart late, without leaving
    them out (test_mmps_with_langevin_weighs_the_modes, on lattices that nothing was chosen on).
    The guidance is the gradient of g only where C hardly changes, so that Langevin steps bias what
    weights do not see; without them (`n=0`) the grid does, and more (docs/posteriors.md).

    (`n` + 1) `particles` evaluations a step and sample, each with the gradients of `MMPS`, side by
    side, so that memory grows alike. Its steps are its own: the caller's solver is left aside. g
    leaves out its determinant, which nobody knows cheaply: with Gaussian noise it tends to a
    constant; with other noise the data is weighed at the end by its own likelihood.

    References:
        Rozet et al. 2024, arXiv:2405.13712, section 4 (the likelihood); Wu et al. 2023, "Practical
        and Asymptotically Exact Conditional Sampling in Diffusion Models", arXiv:2306.17775 (the
        weights); Gilks & Berzuini 2001, "Following a Moving Target: Monte Carlo Inference for
        Dynamic Bayesian Models" (moves after resampling).

    Attributes:
        particles: For each sample; 1: no weights, only Langevin steps.
        n: Langevin steps at each level.
        delta: Share of the noise, in (0, 1], that one replaces.
        tolerance: See `MMPS`.
        most: Likewise.
    """

    name: ClassVar[str] = "mmps-langevin"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    particles: int = 8
    n: int = 1
    delta: float = 0.15
    tolerance: float = MMPS.tolerance
    most: int = MMPS.most

    def __post_init__(self) -> None:
        super().__post_init__()
        MMPS(self.tolerance, self.most)
        if self.n < 0 or not 0 < self.delta <= 1:
            raise UsageError(
                f"mmps-langevin has n = {self.n} and delta = {self.delta:g}; it needs 0 Langevin "
                f"steps or more, and a share in (0, 1]"
            )

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
        shape, draws = crowd.log_weights.shape, Each(noise, self.particles)
        x, seen = crowd.x, self._seen(measurement, model, crowd.x, t)
        whole = crowd.log_weights + seen.log_twist.reshape(shape)
        chance = uniform(noise, x[:: self.particles])
        goes_on, log_weights = resampled(whole, chance, self.threshold)
        x, seen = x[goes_on], seen.take(goes_on)
        alpha, sigma = model.schedule(t)
        for _ in range(self.n if alpha > PURE * sigma else 0):
            drift = (self.delta / 2 * sigma**2) * seen.led.score
            x = x + drift + (math.sqrt(self.delta) * sigma) * draws(x)
            seen = self._seen(measurement, model, x, t)
        if s == 0:
            x = seen.led.x0
            if not isinstance(measurement.noise, GaussianNoise):
                exact = measurement.log_likelihood(x) - seen.log_twist
                log_weights = log_weights + exact.reshape(shape)
            return Crowd(x, log_weights)
        (alpha_s, sigma_s) = model.schedule(s)
        v, _ = ancestral_variances((alpha, sigma), (alpha_s, sigma_s))
        left_over = (sigma_s**2 - v).clamp(min=0).sqrt()
        mean, led = (alpha_s * p.x0 + left_over * p.eps for p in (seen.prior, seen.led))
        lead, fresh = (led - mean) / v.sqrt(), draws(x)
        change = -seen.log_twist - 0.5 * inner(lead, lead) - inner(lead, fresh)
        return Crowd(led + v.sqrt() * fresh, log_weights + change.reshape(shape))

    def _seen(self, measurement: Measurement, model: Model, x: Tensor, t: Tensor) -> "_Seen":
        alone, found = MMPS(self.tolerance, self.most), list[tuple[Prediction, Tensor]]()

        def shift(at: Tangent) -> Tensor:
            solved = alone.solved(at)
            found.append((at.prediction, -0.5 * inner(at.residual, solved)))
            return at.explained(solved)

        led = Led(self.through(model), measurement, shift)(x, t)
        ((prior, log_twist),) = found
        return _Seen(prior, led, log_twist)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is known at one state of each particle.

    Attributes:
        prior: Without the measurement.
        led: With it, as `MMPS` has it.
        log_twist: The log of its likelihood, without its determinant, `(B K,)`.
    """

    prior: Prediction
    led: Prediction
    log_twist: Tensor

    def take(self, rows: Tensor) -> "_Seen":
        """That of other particles."""
        prior, led = (replace(p, x0=p.x0[rows], eps=p.eps[rows]) for p in (self.prior, self.led))
        return _Seen(prior, led, self.log_twist[rows])
