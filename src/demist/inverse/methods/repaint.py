"""Replacement that goes back and forth, until the hidden parts have answered the measured ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from demist.inverse.measurement import Measurement
from demist.inverse.method import Loop
from demist.inverse.methods.replacement import Replacement
from demist.samplers import TrajectoryPoint, checked_grid


@dataclass(frozen=True)
class RePaint(Replacement):
    """Replacement with jumps: back to more noise, and down again, at every level.

    A jump re-noises the state with the exact forward transition, and the walk down makes the hidden
    part anew in view of the measured one. More jumps bring the pair closer to the joint law:
    `test_jumps_bring_the_hidden_part_to_what_was_measured`. With `jumps=0` it is `replacement`, bit
    for bit. There are no jumps below the noise of the measurement, where nothing is put back. Exact
    where replacement is, and without noise in the limit of many jumps on many levels.

    Up to `1 + jumps` times the evaluations of replacement, no gradients. What it gets right of the
    hidden part grows with the jumps; with them grows what the solver's steps lose of the spread.

    References:
        Lugmayr et al. 2022, "RePaint: Inpainting using Denoising Diffusion Probabilistic Models",
        arXiv:2201.09865, algorithm 1 and section 4.2.

    Attributes:
        jumps: How often each stretch is gone through again.
        length: Steps of a stretch. The paper's is 10 of 250 steps.
    """

    name: ClassVar[str] = "repaint"
    jumps: int = 5
    length: int = 1

    def __post_init__(self) -> None:
        if self.jumps < 0 or self.length < 1:
            raise ValueError(
                f"jumps must be at least 0 and length at least 1, got {self.jumps} and "
                f"{self.length}"
            )

    def points(self, measurement: Measurement, loop: Loop) -> Iterator[TrajectoryPoint]:
        """See `Method`; a point for each step of `grid`, after its jumps."""
        grid = checked_grid(loop.grid)
        alpha, sigma = loop.model.schedule(grid)
        times, reached = self.jumping(grid, sigma >= alpha * _own_level(measurement, loop.x))
        points = super().points(measurement, replace(loop, grid=times, index=reached[loop.index]))
        told = {walked: i for i, walked in enumerate(reached)}
        for point in points:
            if point.index in told:
                yield replace(point, index=told[point.index])

    def jumping(self, grid: Tensor, told: Tensor) -> tuple[Tensor, list[int]]:
        """The grid with its jumps, and where in it each time of `grid` is reached for good.

        No jump starts from clean data, nor from a time of which the measurement does not tell, and
        none goes over a stretch that rises by itself.
        """
        times, reached, k = [grid[0]], [0], self.length
        for i in range(1, len(grid)):
            times.append(grid[i])
            stretch = grid[max(i - k, 0) : i + 1]
            if i % k == 0 and grid[i] > 0 and told[i] and (stretch.diff() < 0).all():
                times += list(stretch) * self.jumps
            reached.append(len(times) - 1)
        return torch.stack(times), reached


def _own_level(measurement: Measurement, x: Tensor) -> float:
    """Noise of the worst direction that is measured better than data of unit variance would be.

    Below it nothing is put back, and jumps would lose what was.
    """
    known = measurement.linear.spectrum
    if not measurement.std or known is None:
        return 0.0
    levels = measurement.std * known.inverses(x)
    return float(levels.where(levels < 1, 0).max())
