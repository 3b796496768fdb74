"""Particles: many states for each sample, weighted, so that their crowd has the law that is wanted.

Each sample has its own crowd, which starts, moves and is resampled by the sample's own noise; no
sample depends on another. What a method returns is one particle of each crowd, drawn by weight; all
of them are in the memory of the last point.
"""

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Conditioned, Model, Noise, State, copied, left, straightened
from demist.errors import UsageError
from demist.inverse.measurement import Measurement
from demist.inverse.method import Loop
from demist.inverse.stepped import Stepped
from demist.samplers import Solver, TrajectoryPoint

PURE = 0.05
"""alpha / sigma below which a state is pure noise, of which others may be drawn."""


@dataclass(frozen=True)
class Crowd:
    """The particles of all samples.

    Attributes:
        x: `(B K, *shape)`, those of one sample after each other.
        log_weights: `(B, K)`, up to a constant of each sample.
        seen: What a method remembers of the measurement, one for each sample.
    """

    x: Tensor
    log_weights: Tensor
    seen: Tensor | None = None


@dataclass(frozen=True)
class Particles(Stepped):
    """A method that moves crowds.

    Attributes:
        particles: For each sample, at least 1.
        threshold: A crowd is resampled when its effective size, (sum w)^2 / sum w^2, is below this
            share of the particles, in [0, 1].
    """

    downhill: ClassVar[bool] = True
    particles: int = 16
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if self.particles < 1 or not 0 <= self.threshold <= 1:
            raise ValueError(
                f"particles is at least 1 and threshold in [0, 1], got {self.particles} and "
                f"{self.threshold}"
            )

    @abc.abstractmethod
    def moved(
        self,
        measurement: Measurement,
        model: Model,
        crowd: Crowd,
        t: Tensor,
        s: Tensor,
        noise: Noise,
    ) -> Crowd:
        """The crowd at time `s`, from time `t`; `measurement` has a row for each particle."""

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
    ) -> tuple[Tensor, Crowd]:
        """See `Stepped`; the memory is the `Crowd`."""
        crowd = self._begun(model, x, t, noise) if memory is None else memory
        crowd = self.moved(measurement, model, crowd, t, s, noise)
        chosen = picked(self.chances(measurement, model, crowd, s), uniform(noise, x))
        return crowd.x[chosen], crowd

    def chances(self, measurement: Measurement, model: Model, crowd: Crowd, s: Tensor) -> Tensor:
        """Of each particle to be what its sample is at time `s`: logarithms, `(B, K)`."""
        return crowd.log_weights

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`."""
        if loop.constrain is not None:
            raise UsageError(
                f"method {self.name} moves particles, which a constraint on the state does not "
                f"reach; take another method, or leave the constraint out"
            )
        n, k = len(loop.x), self.particles
        cond = {name: _for_each(value, n, k) for name, value in loop.cond.items()}
        return super().points(measurement, replace(loop, cond=cond))

    def ready(self, measurement: Measurement, x: Tensor, grid: Tensor) -> Measurement:
        """See `Stepped`; a row for each particle."""
        own = super().ready(measurement, x, grid)
        return replace(own, y=own.y.repeat_interleave(self.particles, 0))

    def through(self, model: Model) -> Model:
        """The same model, for gradients: no clamp or condition of inference mode stops them."""
        model = straightened(model)
        if not isinstance(model, Conditioned):
            return model
        with torch.inference_mode(False):
            return replace(model, cond=copied(model.cond))

    def _begun(self, model: Model, x: Tensor, t: Tensor, noise: Noise) -> Crowd:
        """A crowd around the start: it and other noise, or copies of it if it holds data."""
        k = self.particles
        x = x.repeat_interleave(k, 0)
        alpha, sigma = model.schedule(t)
        if alpha < PURE * sigma:
            given = left(torch.arange(len(x), device=x.device) % k, x) == 0
            x = torch.where(given, x, sigma * Each(noise, k)(x))
        return Crowd(x, x.new_zeros(len(x) // k, k))


@dataclass(frozen=True)
class Each(Noise):
    """Noise for particles `(B k, ...)`: k draws of each sample's own noise.

    Attributes:
        base: For samples, `(B, ...)`.
        k: Particles of each.
    """

    base: Noise
    k: int

    def __call__(self, like: State) -> State:
        one = like[:: self.k]
        return torch.stack([self.base(one) for _ in range(self.k)], 1).flatten(0, 1)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Each":
        return Each(self.base.at(index, t, s), self.k)

    def log_prob(self, z: State) -> Tensor:
        return self.base.log_prob(z)


def uniform(noise: Noise, x: Tensor) -> Tensor:
    """A number in (0, 1) for each sample in `x`, `(B,)`."""
    drawn: Tensor = noise(x.new_empty(len(x), 1).double())
    tiny = 1e-12
    chance: Tensor = torch.special.ndtr(drawn)[:, 0]
    return chance.clamp(tiny, 1 - tiny)


def resampled(log_weights: Tensor, u: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Which particles go on, `(B K,)` among all, and the log-weights they go on with, `(B, K)`.

    Systematic resampling: K equal steps through the summed weights, from one number `u` in (0, 1)
    of each sample; particles of weight w go on w K times, rounded up or down. Crowds whose
    effective size is large enough go on as they are.

    References:
        Kitagawa 1996, "Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear State Space
        Models"; Douc & Cappe 2005, "Comparison of Resampling Schemes for Particle Filtering".
    """
    w = log_weights.double().softmax(1)
    n, k = w.shape
    as_they_are = torch.arange(k, device=w.device).expand(n, k)
    steps = (u[:, None].to(w) + as_they_are) / k
    summed = w.cumsum(1)
    chosen = torch.searchsorted(summed / summed[:, -1:], steps).clamp(max=k - 1)
    poor = (1 / w.square().sum(1) < threshold * k)[:, None]
    chosen = torch.where(poor, chosen, as_they_are)
    first = k * torch.arange(n, device=w.device)[:, None]
    return (first + chosen).flatten(), torch.where(poor, 0, log_weights)


def picked(log_weights: Tensor, u: Tensor) -> Tensor:
    """One particle of each crowd, by weight: its place among all, `(B,)`."""
    n, k = log_weights.shape
    summed = log_weights.double().softmax(1).cumsum(1)
    chosen = torch.searchsorted(summed / summed[:, -1:], u[:, None].to(summed))[:, 0]
    return k * torch.arange(n, device=chosen.device) + chosen.clamp(max=k - 1)


def _for_each(value: Any, n: int, k: int) -> Any:
    """A condition of `n` samples, for k particles of each."""
    if isinstance(value, Tensor):
        return value.repeat_interleave(k, 0) if value.ndim and len(value) == n else value
    if isinstance(value, Mapping):
        return {key: _for_each(item, n, k) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_for_each(item, n, k) for item in value)
    return value
