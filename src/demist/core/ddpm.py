"""The tables of the literature, as variances (betas) of the forward steps and as schedules."""

import math

import torch
from torch import Tensor

from demist.core.table import Table


def linear_betas(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """The betas of DDPM (Ho et al. 2020, section 4)."""
    return torch.linspace(start, end, steps, dtype=torch.float64)


def scaled_linear_betas(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """Linear in the square root of beta; latent diffusion's choice (Rombach et al. 2022)."""
    return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2


def cosine_betas(steps: int = 1000, offset: float = 0.008, limit: float = 0.999) -> Tensor:
    """The betas of Improved DDPM (Nichol & Dhariwal 2021, eq. 17, clipped at `limit`)."""
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    bar = torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2
    return (1 - bar[1:] / bar[:-1]).clamp(max=limit)


def sigmoid_betas(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """A sigmoid between -6 and 6, scaled to run from `start` to `end` (Xu et al. 2022, GeoDiff)."""
    return torch.sigmoid(torch.linspace(-6, 6, steps, dtype=torch.float64)) * (end - start) + start


class LinearTable(Table):
    """DDPM's table: betas that rise evenly (Ho et al. 2020, section 4)."""

    name = "ddpm-linear"

    def __init__(self, steps: int = 1000, start: float = 1e-4, end: float = 0.02):
        super().__init__(torch.cumprod(1 - linear_betas(steps, start, end), 0))


class ScaledLinearTable(Table):
    """Latent diffusion's table: roots of betas that rise evenly (Rombach et al. 2022)."""

    name = "ddpm-scaled-linear"

    def __init__(self, steps: int = 1000, start: float = 0.00085, end: float = 0.012):
        super().__init__(torch.cumprod(1 - scaled_linear_betas(steps, start, end), 0))


class CosineTable(Table):
    """Improved DDPM's table (Nichol & Dhariwal 2021, eq. 17)."""

    name = "ddpm-cosine"

    def __init__(self, steps: int = 1000, offset: float = 0.008, limit: float = 0.999):
        super().__init__(torch.cumprod(1 - cosine_betas(steps, offset, limit), 0))


class SigmoidTable(Table):
    """GeoDiff's table: betas that follow a sigmoid (Xu et al. 2022)."""

    name = "ddpm-sigmoid"

    def __init__(self, steps: int = 1000, start: float = 1e-4, end: float = 0.02):
        super().__init__(torch.cumprod(1 - sigmoid_betas(steps, start, end), 0))
