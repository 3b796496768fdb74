"""The denoising loss: every published variant is a time distribution and a weight."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from demist.core import Gaussian, Model, Noise, Prediction, State, left, mean_square, where
from demist.objectives.stable import Candidates
from demist.objectives.weights import SimpleWeight, Weight


def denoising_loss(
    model: Model,
    x0: State,
    t: Float[Tensor, "..."],
    weight: Weight = SimpleWeight(),
    noise: Noise | None = None,
    candidates: Candidates | None = None,
    **cond: Any,
) -> Float[Tensor, " B"]:
    """Weighted error of x0 at noise level t, averaged over each sample's dimensions.

        weight(log_snr(t)) * mean (x0_hat(alpha x0 + sigma eps, t) - x0)^2

    Above a signal-to-noise ratio of 1 the same number is computed from the error of eps, which is
    alpha / sigma times that of x0: there the x0 error is lost in rounding, and the weight is huge.

    Args:
        model: The denoiser to train.
        x0: Clean data, shape `(B, ...)`, or `Fields`.
        t: One time in (0, 1] per sample, `(B,)`, or one per part of a sample, `(B, F)`; float64, so
            that the smallest levels stay apart. A part at t = 0 is given, and has no weight.
        weight: Function of the log-SNR (see `weights`).
        noise: Default `Gaussian()`. On a subspace (`Centred`) it is the mean over its dimensions.
        candidates: Other examples that the noisy data may be of: instead of x0 and eps their means
            are learned (see `stable`), of tensors with one time per sample, above 0. None: x0.
        cond: Conditions, handed to the model.

    Returns:
        One loss per sample; their mean is what is minimised.
    """
    schedule = model.schedule
    noise = Gaussian() if noise is None else noise
    eps = noise(x0)
    alpha, sigma = schedule(t)
    x = left(alpha, x0) * x0 + left(sigma, x0) * eps
    p = model(x, t, **cond)
    if candidates is not None:
        x0, eps = candidates.means(x, x0, alpha, sigma)
    return weighted_error(p, x0, eps, schedule.log_snr(t), weight, noise.dims(x0))


def weighted_error(
    p: Prediction,
    x0: State,
    eps: State,
    log_snr: Float[Tensor, "..."],
    weight: Weight,
    dims: Tensor | None = None,
) -> Float[Tensor, " B"]:
    """The loss above of a prediction for `alpha x0 + sigma eps`; `dims` as in `mean_square`."""
    clean = log_snr > 0
    error = where(clean, p.eps - eps, p.x0 - x0)
    scale = weight(log_snr) * torch.where(clean, (-log_snr).exp(), 1.0)
    if scale.ndim > 1:  # one per part: the mean is over what each of them weighs
        noisy = log_snr < torch.inf
        root = torch.where(noisy, scale, 0).sqrt()
        return mean_square(where(noisy, left(root, error) * error, 0 * x0), dims)
    mean = mean_square(error, dims)
    return scale.to(mean) * mean
