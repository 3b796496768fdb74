"""The denoising loss: every published variant is a time distribution and a weight."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from demist.core import Gaussian, Model, Noise, Prediction, left
from demist.objectives.weights import SimpleWeight, Weight


def denoising_loss(
    model: Model,
    x0: Float[Tensor, "B ..."],
    t: Float[Tensor, " B"],
    weight: Weight = SimpleWeight(),
    noise: Noise | None = None,
    **cond: Any,
) -> Float[Tensor, " B"]:
    """Weighted error of x0 at noise level t, averaged over each sample's components.

        weight(log_snr(t)) * mean (x0_hat(alpha x0 + sigma eps, t) - x0)^2

    Above a signal-to-noise ratio of 1 the same number is computed from the error of eps, which is
    alpha / sigma times that of x0: there the x0 error is lost in rounding, and the weight is huge.

    Args:
        model: The denoiser to train.
        x0: Clean data, shape `(B, ...)`.
        t: One time in (0, 1] per sample; float64, so that the smallest levels stay apart.
        weight: Function of the log-SNR (see `weights`).
        noise: Default `Gaussian()`.
        cond: Conditions, handed to the model.

    Returns:
        One loss per sample; their mean is what is minimised.
    """
    schedule = model.schedule
    eps = (Gaussian() if noise is None else noise)(x0)
    alpha, sigma = schedule(t)
    p = model(left(alpha, x0) * x0 + left(sigma, x0) * eps, t, **cond)
    return weighted_error(p, x0, eps, schedule.log_snr(t), weight)


def weighted_error(
    p: Prediction,
    x0: Float[Tensor, "B ..."],
    eps: Float[Tensor, "B ..."],
    log_snr: Float[Tensor, " B"],
    weight: Weight,
) -> Float[Tensor, " B"]:
    """The loss above of a prediction for `alpha x0 + sigma eps`."""
    clean = log_snr > 0
    error = torch.where(left(clean, x0).bool(), p.eps - eps, p.x0 - x0)
    scale = weight(log_snr) * torch.where(clean, (-log_snr).exp(), 1.0)
    return scale.to(x0) * error.square().flatten(1).mean(1)
