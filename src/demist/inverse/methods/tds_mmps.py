"""Particles where it is decided what the data is, then one of them, led by its Jacobian."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from demist.core import Model
from demist.errors import UsageError
from demist.inverse.conjugate import inner
from demist.inverse.measurement import Measurement
from demist.inverse.method import Loop, Method
from demist.inverse.methods.mmps import MMPS
from demist.inverse.methods.tds import TDS
from demist.inverse.particles import Crowd
from demist.inverse.tangent import Led, Tangent
from demist.samplers import TrajectoryPoint


@dataclass(frozen=True)
class TDSThenMMPS(Method):
    """`tds` in strong noise, where it weighs what the data may be; then `mmps`, which is precise.

    Particles weigh modes rightly, but few of them leave more of the measurement than its noise
    explains; a Jacobian follows the measurement closely, but weighs modes by one Gaussian. So a
    crowd goes down to where signal is `signal` times as strong as noise. There one particle is
    drawn, by its weight times the likelihood of the measurement as `mmps` sees it,
    `N(y; A x0_hat, A C A' + noise)` without its determinant, and goes on alone.

    With many particles and fine grids exact on every Gaussian, at any `signal`
    (`test_methods_led_by_the_jacobian_are_right_on_gaussians`), and on modes that are told apart
    before the crowd ends (`test_tds_then_mmps_weighs_modes_that_its_crowd_tells_apart`); later ones
    have the weights that `mmps` gives them. Needs noise: weights divide by it.

    `particles` evaluations and gradients per step and sample while there is a crowd, and then one
    evaluation and as many gradients as `mmps` takes.

    Attributes:
        particles: See `TDS`.
        width: See `TDS`.
        signal: alpha / sigma from which one goes on alone.
        tolerance: See `MMPS`.
        most: See `MMPS`.
    """

    name: ClassVar[str] = "tds-mmps"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    noisy: ClassVar[bool] = True
    solver: ClassVar[str | None] = "ddim:eta=1"
    particles: int = 6
    width: float = 0.6
    signal: float = 2.0
    tolerance: float = 1e-2
    most: int = 4

    def __post_init__(self) -> None:
        if not self.signal > 0:
            raise UsageError(f"tds-mmps with signal={self.signal:g}: give a number above 0")
        self._parts()

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`."""
        alpha, sigma = loop.model.schedule(loop.grid)
        last = min(int((alpha < self.signal * sigma).sum()), len(loop.grid) - 1)
        crowd, alone = self._parts(float(loop.grid[last]))
        x, index = loop.x, loop.index
        if index < last:
            for point in crowd.points(measurement, loop):
                yield point
                x, index = point.x, point.index
                if index == last:
                    break
        memory = loop.memory if loop.index > last else None  # that of the crowd ends with it
        rest = replace(loop, x=x, index=index, memory=memory)
        yield from alone.points(measurement, rest)

    def _parts(self, until: float = 0.0) -> tuple["_DrawingOne", MMPS]:
        alone = MMPS(tolerance=self.tolerance, most=self.most)
        return _DrawingOne(
            particles=self.particles, width=self.width, until=until, alone=alone
        ), alone


@dataclass(frozen=True)
class _DrawingOne(TDS):
    """Particles of which one is drawn, at the time `until`, to go on alone.

    Attributes:
        until: The time.
        alone: How it goes on.
    """

    name: ClassVar[str] = ""
    until: float = 0.0
    alone: MMPS = field(default_factory=MMPS)

    def chances(self, measurement: Measurement, model: Model, crowd: Crowd, s: Tensor) -> Tensor:
        """See `Particles`."""
        if s > self.until or s == 0:
            return crowd.log_weights
        found = list[Tensor]()

        def likelihood(at: Tangent) -> Tensor:
            found.append(-0.5 * inner(at.residual, self.alone.solved(at)))
            return torch.zeros_like(crowd.x)

        Led(self.through(model), measurement, likelihood)(crowd.x, s)
        return crowd.log_weights + found[0].reshape(crowd.log_weights.shape)
