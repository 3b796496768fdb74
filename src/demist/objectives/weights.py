"""Loss weights as functions of the log-SNR, always of the x0 error.

A published loss on another target is a weight on the x0 error, since alpha (x0_hat - x0) =
-sigma (eps_hat - eps): stated here once, it is right for every parameterization. With
l = log(alpha^2 / sigma^2), the error of eps is e^l times, and that of v (on a variance-preserving
path) e^l + 1 times the error of x0.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Weight = Callable[[Tensor], Tensor]
"""A function of the log-SNR, shape `(B,)`, giving the weight of the x0 error."""


def simple(log_snr: Tensor) -> Tensor:
    """The eps error of DDPM's L_simple (Ho et al. 2020, eq. 14)."""
    return log_snr.exp()


def v(log_snr: Tensor) -> Tensor:
    """The v error (Salimans & Ho 2022, section 4); also called SNR + 1."""
    return log_snr.exp() + 1


def x0(log_snr: Tensor) -> Tensor:
    """The plain x0 error."""
    return torch.ones_like(log_snr)


def velocity(log_snr: Tensor) -> Tensor:
    """The velocity error of flow matching on the linear path, (1 + e^(l/2))^2.

    There x0_hat - x0 = -t (u_hat - u), and 1 / t = 1 + alpha / sigma.
    """
    return (1 + (log_snr / 2).exp()) ** 2


def edm(sigma_data: float = 0.5) -> Weight:
    """EDM's lambda(sigma): (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 (Karras et al. 2022)."""
    return lambda log_snr: log_snr.exp() + 1 / sigma_data**2


def min_snr(gamma: float = 5.0) -> Weight:
    """min(SNR, gamma) (Hang et al. 2023, "Efficient Diffusion Training via Min-SNR", eq. 7)."""
    return lambda log_snr: log_snr.exp().clamp(max=gamma)


def sigmoid(bias: float = -1.0) -> Weight:
    """The eps error, with a weight that falls off where the log-SNR exceeds `bias`.

    References:
        Kingma & Gao 2023, "Understanding Diffusion Objectives as the ELBO with Simple Data
        Augmentation", arXiv:2303.00848; Hoogeboom et al. 2024, arXiv:2410.19324, eq. 8.
    """
    # e^l sigmoid(b - l) = e^b sigmoid(l - b), which does not overflow.
    return lambda log_snr: torch.sigmoid(log_snr - bias) * math.exp(bias)
