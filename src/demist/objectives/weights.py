"""Loss weights as functions of the log-SNR, always of the x0 error.

A published loss on another target is a weight on the x0 error, since alpha (x0_hat - x0) =
-sigma (eps_hat - eps): stated here once, it is right for every parameterization. With
l = log(alpha^2 / sigma^2), the error of eps is e^l times, and that of v (on a variance-preserving
path) e^l + 1 times the error of x0.
"""

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


class Weight(abc.ABC):
    """A function of the log-SNR; subclasses are frozen dataclasses of their options."""

    name: ClassVar[str]
    """The name on the command line."""

    @abc.abstractmethod
    def __call__(self, log_snr: Tensor) -> Tensor:
        """The weight of the x0 error at each log-SNR, shape `(B,)`."""


@dataclass(frozen=True)
class SimpleWeight(Weight):
    """The eps error of DDPM's L_simple (Ho et al. 2020, eq. 14)."""

    name = "simple"

    def __call__(self, log_snr: Tensor) -> Tensor:
        return log_snr.exp()


@dataclass(frozen=True)
class VWeight(Weight):
    """The v error (Salimans & Ho 2022, section 4); also called SNR + 1."""

    name = "v"

    def __call__(self, log_snr: Tensor) -> Tensor:
        return log_snr.exp() + 1


@dataclass(frozen=True)
class X0Weight(Weight):
    """The plain x0 error."""

    name = "x0"

    def __call__(self, log_snr: Tensor) -> Tensor:
        return torch.ones_like(log_snr)


@dataclass(frozen=True)
class VelocityWeight(Weight):
    """The velocity error of flow matching on the linear path, (1 + e^(l/2))^2.

    There x0_hat - x0 = -t (u_hat - u), and 1 / t = 1 + alpha / sigma.
    """

    name = "velocity"

    def __call__(self, log_snr: Tensor) -> Tensor:
        return (1 + (log_snr / 2).exp()) ** 2


@dataclass(frozen=True)
class EDMWeight(Weight):
    """EDM's lambda(sigma): (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al. 2022).

    Attributes:
        sigma_data: Standard deviation of the data.
    """

    name = "edm"
    sigma_data: float = 0.5

    def __call__(self, log_snr: Tensor) -> Tensor:
        return log_snr.exp() + 1 / self.sigma_data**2


@dataclass(frozen=True)
class MinSNRWeight(Weight):
    """min(SNR, gamma) (Hang et al. 2023, "Efficient Diffusion Training via Min-SNR", eq. 7).

    Attributes:
        gamma: The largest weight.
    """

    name = "min-snr"
    gamma: float = 5.0

    def __call__(self, log_snr: Tensor) -> Tensor:
        return log_snr.exp().clamp(max=self.gamma)


@dataclass(frozen=True)
class SigmoidWeight(Weight):
    """The eps error, with a weight that falls off where the log-SNR exceeds `bias`.

    References:
        Kingma & Gao 2023, "Understanding Diffusion Objectives as the ELBO with Simple Data
        Augmentation", arXiv:2303.00848; Hoogeboom et al. 2024, arXiv:2410.19324, eq. 8.

    Attributes:
        bias: The log-SNR where it falls off.
    """

    name = "sigmoid"
    bias: float = -1.0

    def __call__(self, log_snr: Tensor) -> Tensor:
        # e^l sigmoid(b - l) = e^b sigmoid(l - b), which does not overflow.
        return torch.sigmoid(log_snr - self.bias) * math.exp(self.bias)
