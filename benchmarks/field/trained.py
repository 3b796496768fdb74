"""A trained network as a problem: every library samples the same model from the same noise.

The network was trained along one schedule. Any other is that one, rescaled: at (alpha, sigma) it is
asked at the time of equal sigma / alpha, about the state scaled to match.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.core import Conditioned, Schedule
from demist.model.pipeline import Pipeline
from demist.samplers import make_solver, sample, uniform
from field.ours import Counted
from field.problem import TABLE, f64


class Trained:
    """The same interface as `Problem`, for a pipeline's network.

    Args:
        pipeline: The model.
        n: Samples.
        seed: Of the start noise.
        batch: Samples that the network sees at once.
        steps: Of the reference.
        guidance: Scale; what one evaluation gives is guided.
        cond: Conditions by name, a value for each sample.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        n: int,
        seed: int = 0,
        *,
        batch: int = 64,
        steps: int = 1000,
        guidance: float = 1.0,
        cond: Mapping[str, Any],
    ):
        self.name = str(pipeline.facts.get("name", "trained"))
        self.pipeline, self.batch, self.steps, self.calls = pipeline, batch, steps, 0
        generator = torch.Generator().manual_seed(seed)
        self.z = torch.randn((n, *pipeline.state_shape), generator=generator, dtype=f64)
        plan = pipeline.plan(n, guidance=guidance, **cond)
        self.cond, self.denoiser = plan.cond, plan.model
        self._solved: dict[float, Tensor] = {}

    @property
    def schedule(self) -> Schedule:
        return self.denoiser.schedule

    @property
    def top(self) -> float:
        """Where the peers start: the noisiest ratio of DDPM's table."""
        alpha, sigma = TABLE(torch.ones((), dtype=f64))
        return float(sigma / alpha)

    def one(self) -> "Trained":
        """The same with a single sample, to count evaluations cheaply."""
        single = object.__new__(Trained)
        single.__dict__ |= {**self.__dict__, "z": self.z[:1], "calls": 0}
        single.cond = {name: value[:1] for name, value in self.cond.items()}
        return single

    @torch.inference_mode()
    def predict(self, x: Tensor, alpha: float, sigma: float) -> tuple[Tensor, Tensor]:
        """`(x0, eps)` at `x = alpha x0 + sigma eps`. Every call counts."""
        self.calls += 1
        angle = torch.tensor(math.atan2(float(sigma), float(alpha)), dtype=f64)
        t = self.schedule.time_at_angle(angle)
        scale = float(sum(self.schedule(t))) / (float(alpha) + float(sigma))
        parts = []
        for i in range(0, len(x), self.batch):
            rows = slice(i, i + self.batch)
            cond = {name: value[rows] for name, value in self.cond.items()}
            p = Conditioned(self.denoiser, cond)((scale * x[rows]).float(), t)
            parts.append((p.x0.to(f64), p.eps.to(f64)))
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def reference(self, ratio: float | None = None) -> Tensor:
        """The result of `steps` even steps of Adams' method, from `sigma z` at `ratio`."""
        ratio = self.top if ratio is None else ratio
        if ratio not in self._solved:
            angle = torch.tensor(math.atan(ratio), dtype=f64)
            start = float(self.schedule.time_at_angle(angle))
            times = uniform(self.steps, start)
            x = self.schedule(times[0])[1] * self.z
            self._solved[ratio] = sample(Counted(self), x, times, make_solver("adams"))
        return self._solved[ratio]

    def errors(self, x: Tensor, ratio: float | None = None) -> tuple[float, float]:
        """Root mean square and median distance to the reference, per value of the sample."""
        distance = (x - self.reference(ratio)).square().flatten(1).mean(-1).sqrt()
        return float(distance.square().mean().sqrt()), float(distance.median())

    def images(self, x: Tensor) -> np.ndarray:
        """Samples as bytes."""
        parts = [self.pipeline.decode(x[i : i + self.batch]) for i in range(0, len(x), self.batch)]
        return np.concatenate(parts)
