"""The variational bound, one step at a time: the sampler's ancestral step, scored.

For a discrete model the bound on -log p(x0) is a sum over the steps of its grid,

    KL(q(x_1 | x0) || p(x_1)) + sum_t KL(q(x_s | x_t, x0) || p(x_s | x_t)) - log p(x0 | x_t1),

and `step_bound` is one term of it: a KL where s > 0, the decoder where s = 0 (Ho et al. 2020,
eq. 5). All values are in nats per sample.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from demist.core import Gaussian, Model, Noise, Prediction, left, solvable, where
from demist.objectives.denoising import denoising_loss
from demist.objectives.weights import SimpleWeight, Weight
from demist.samplers import ancestral_variances

Decoder = Callable[[Tensor, Tensor, Tensor], Tensor]
"""log p(x0 | x_t1) element by element, from `(x0, mean, variance)`."""


def gaussian_decoder(x0: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The log-density of a Gaussian: for continuous data."""
    return -0.5 * ((x0 - mean) ** 2 / variance + (2 * math.pi * variance).log())


def discretised_decoder(x0: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The log-probability of the 8-bit bin around `x0` in [-1, 1] (Ho et al. 2020, eq. 13).

    The outermost bins extend to infinity.
    """
    std = variance.sqrt()
    upper = torch.where(x0 > 0.999, torch.inf, (x0 + 1 / 255 - mean) / std)
    lower = torch.where(x0 < -0.999, -torch.inf, (x0 - 1 / 255 - mean) / std)
    # In the upper tail take the difference from the other side, where it does not cancel.
    flip = lower + upper > 0
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    mass = torch.special.ndtr(b) - torch.special.ndtr(a)
    return torch.where(mass > 1e-30, mass.clamp(min=1e-30).log(), _tail(x0, mean, variance))


def _tail(x0: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """The density at the bin's centre times its width, where the bin's mass underflows."""
    return gaussian_decoder(x0, mean, variance) + math.log(2 / 255)


def step_bound(
    model: Model,
    x0: Float[Tensor, "B ..."],
    t: Float[Tensor, " B"],
    s: Float[Tensor, " B"],
    noise: Noise | None = None,
    *,
    decoder: Decoder = discretised_decoder,
    large: bool = False,
    only_variance: bool = False,
    **cond: Any,
) -> Float[Tensor, " B"]:
    """One term of the bound for each sample, in nats, for the step from `t` to `s`.

    Args:
        model: The denoiser; if it learns the variance (`Prediction.spread`) that is used.
        x0: Clean data.
        t: Noisier times, above 0.
        s: Cleaner times; at 0 the term is the decoder's.
        noise: Default `Gaussian()`.
        decoder: log p(x0 | x_t1) of the last step.
        large: For a fixed variance, whether it is beta rather than beta-tilde.
        only_variance: Stop the gradient into the mean, as the hybrid objective does.
        cond: Conditions, handed to the model.
    """
    noise = Gaussian() if noise is None else noise
    eps = noise(x0)
    at_t, at_s = model.schedule(t), model.schedule(s)
    p = model(left(at_t[0], x0) * x0 + left(at_t[1], x0) * eps, t, **cond)
    if only_variance:
        p = replace(p, x0=p.x0.detach(), eps=p.eps.detach())
    small, forward = ancestral_variances(at_t, at_s)
    final = s == 0
    # The last step has no beta-tilde; like the others, its lower bound is then the upper one.
    log_small = left(torch.where(final, forward, small).log(), x0)
    log_variance = _log_variance(p, log_small, left(forward.log(), x0), large).expand(x0.shape)
    # Both means are alpha_s x0 + sqrt(sigma_s^2 - beta-tilde) eps: only the two errors differ.
    kept = (at_s[1] ** 2 - small).clamp(min=0).sqrt()
    error = left(at_s[0], x0) * (p.x0 - x0) + left(kept, x0) * (p.eps - eps)
    ratio = log_small - log_variance
    kl = 0.5 * (ratio.exp() - 1 - ratio + error**2 * (-log_variance).exp())
    decoded = -decoder(x0, p.x0, log_variance.exp())
    terms: Tensor = where(final, decoded, kl).flatten(1)
    dims = noise.dims(x0)
    if dims is None:
        return terms.sum(1)
    if p.spread is not None:
        raise ValueError("a learned variance per number has no meaning on a subspace; learn none")
    # Off the subspace data and mean are zero; what such numbers add is not of the model.
    exact = 0.5 * (ratio.exp() - 1 - ratio).expand(x0.shape)
    empty = -decoder(0 * x0, 0 * x0, log_variance.exp())
    nothing: Tensor = where(final, empty, exact).flatten(1)
    return terms.sum(1) - nothing[:, 0] * (terms.shape[1] - dims.to(terms))


def _log_variance(p: Prediction, log_small: Tensor, log_large: Tensor, large: bool) -> Tensor:
    if p.spread is None:
        return log_large if large else log_small
    between: Tensor = log_small + p.spread * (
        log_large - log_small
    )  # Nichol & Dhariwal 2021, eq. 15
    return between


def hybrid_loss(
    model: Model,
    x0: Float[Tensor, "B ..."],
    t: Float[Tensor, " B"],
    steps: int,
    weight: Weight = SimpleWeight(),
    noise: Noise | None = None,
    *,
    share: float = 0.001,
    decoder: Decoder = discretised_decoder,
    **cond: Any,
) -> Float[Tensor, " B"]:
    """Improved DDPM's objective for a learned variance: L_simple + share * L_vlb.

    The bound is that of the discrete model with `steps` even steps; its gradient reaches the
    variance only. `t` is rounded up to the end of its step.

    References:
        Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 16 and section 3.1.
    """
    end = (t * steps).ceil().clamp(min=1)
    times, before = solvable(model, end / steps, 0.5 / steps), (end - 1) / steps
    z = (Gaussian() if noise is None else noise)(x0)
    fixed = _Fixed(z)
    mean = denoising_loss(model, x0, times, weight, fixed, **cond)
    bound = step_bound(model, x0, times, before, fixed, decoder=decoder, only_variance=True, **cond)
    return mean + share * steps * bound / x0[0].numel()


class _Fixed(Gaussian):
    """One draw, handed out every time: both terms see the same x_t."""

    def __init__(self, z: Tensor):
        super().__init__()
        self.z = z

    def __call__(self, like: Tensor) -> Tensor:
        return self.z
