"""Grids that visit the steps of a discrete model, for reproducing published samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from demist.core import Schedule
from demist.samplers.grids.grid import Grid, count, discrete


@dataclass(frozen=True)
class TrailingGrid(Grid):
    """The times of a discrete model, from the last step down in even strides (Lin et al. 2023).

    Always includes pure noise; the right choice for models with zero terminal SNR.

    Attributes:
        steps: Steps of the model.
    """

    name = "trailing"
    steps: int = 1000

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        stride = self.steps / count(n, self.steps)
        index = (self.steps - torch.arange(n, dtype=torch.float64) * stride).round() - 1
        return discrete(index, self.steps)


@dataclass(frozen=True)
class LeadingGrid(Grid):
    """The times of a discrete model, in whole strides up from step `offset` (DDIM's code).

    It never visits the noisiest steps.

    Attributes:
        steps: Steps of the model.
        offset: The cleanest step that is visited, counted from 0. Steps that it would carry beyond
            the model's last are left out.
    """

    name = "leading"
    steps: int = 1000
    offset: int = 0

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        stride = self.steps // count(n, self.steps)
        index = torch.arange(n, dtype=torch.float64).flip(0) * stride + self.offset
        return discrete(index.clamp(max=self.steps - 1), self.steps)


@dataclass(frozen=True)
class LinspaceGrid(Grid):
    """The times of a discrete model, evenly from the last step to the first (Nichol & Dhariwal).

    Attributes:
        steps: Steps of the model.
    """

    name = "linspace"
    steps: int = 1000

    def __call__(self, n: int, schedule: Schedule) -> Tensor:
        n = count(n, self.steps)
        index = torch.linspace(self.steps - 1, 0, n, dtype=torch.float64).round()
        return discrete(index, self.steps)
