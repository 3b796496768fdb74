"""Guidance by a gradient: of a classifier of noisy data, or of a reward of the predicted data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Prediction, Schedule, State, copied, leaf, left
from demist.guidance.rule import Rule, Scale, is_number, scale_at


@dataclass(frozen=True)
class Classifier(Rule):
    """Adds `scale` times the gradient of a log-probability of the noisy state to the score.

    With log p(y | x_t) and scale 1 this samples the posterior p(x0 | y) exactly; larger scales
    sharpen p(y | x_t). Where alpha is 0 the state says nothing of y, but what the gradient adds to
    x0, sigma^2 / alpha times it, has a limit; it is taken from where alpha / sigma is `NEAR`.

    References:
        Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis", arXiv:2105.05233,
        section 4 and algorithm 2.

    Attributes:
        log_prob: `(x_t, t, **cond) -> (B,)`, differentiable in `x_t`; of a classifier that knows
            noise. It is given the conditions of the model.
        scale: 0 is no guidance.
    """

    log_prob: Callable[..., Tensor]
    scale: Scale = 1.0
    neutral: ClassVar[Mapping[str, Any]] = {"scale": 0.0}
    linear: ClassVar[bool] = False

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        p, w = self.model(x, t, **cond), scale_at(self.scale, t, x)
        if is_number(w, 0):
            return p
        near = _near(self.schedule, t)
        with torch.inference_mode(False), torch.enable_grad():
            at, cond = leaf(x), copied(cond)
            value = self.log_prob(at, t if near is None else near, **cond).sum()
            (gradient,) = torch.autograd.grad(value, at, create_graph=at is x)
        return _led(self.schedule, p, w * gradient, near)


@dataclass(frozen=True)
class Reward(Rule):
    """Adds `scale` times the gradient of a reward of the predicted data to the score.

    Any differentiable function of clean data will do, at the price of differentiating through the
    model. It asks how the *mean* of what x_t may become is rewarded, not the mean reward; the two
    agree for linear rewards, for which, on Gaussian data, the samples follow p(x0) exp(scale r(x0))
    exactly. Where alpha is 0 it takes the limit, as `Classifier` does, at one evaluation more. What
    a clamp of the model (`Denoiser.bounds`) holds back has no gradient.

    References:
        Bansal et al. 2023, "Universal Guidance for Diffusion Models", arXiv:2302.07121, eq. 6;
        Chung et al. 2023, "Diffusion Posterior Sampling", arXiv:2209.14687, eq. 11.

    Attributes:
        reward: `x0 -> (B,)`, differentiable; a log-likelihood makes this posterior sampling.
        scale: 0 is no guidance.
    """

    reward: Callable[[Tensor], Tensor]
    scale: Scale = 1.0
    neutral: ClassVar[Mapping[str, Any]] = {"scale": 0.0}
    linear: ClassVar[bool] = False

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        w = scale_at(self.scale, t, x)
        if is_number(w, 0):
            return self.model(x, t, **cond)
        near = _near(self.schedule, t)
        there = None if near is None else self.model(x, t, **cond)
        with torch.inference_mode(False), torch.enable_grad():
            at, cond = leaf(x), copied(cond)
            p = self.model(at, t if near is None else near, **cond)
            value = self.reward(p.x0).sum()
            (gradient,) = torch.autograd.grad(value, at, retain_graph=at is x, create_graph=at is x)
        if at is not x:
            x0, eps, alpha, sigma = (c.detach() for c in (p.x0, p.eps, p.alpha, p.sigma))
            p = Prediction(x0, eps, alpha, sigma, None if p.spread is None else p.spread.detach())
        return _led(self.schedule, p if there is None else there, w * gradient, near)


NEAR = 0.01
"""alpha / sigma where the gradient of pure noise is taken: what a network gets wrong in it grows by
the inverse, what differs from the limit by this share."""


def _near(schedule: Schedule, t: Tensor) -> Tensor | None:
    """`t`, with a little signal where there is none; None: there is some everywhere."""
    pure = schedule(t)[0] == 0
    if not pure.any():
        return None
    angle = torch.tensor(math.atan2(1, NEAR), dtype=t.dtype, device=t.device)
    return torch.where(pure, schedule.time_at_angle(angle), t)


def _led(schedule: Schedule, p: Prediction, gradient: Tensor, near: Tensor | None) -> Prediction:
    """`p` with the gradient added to its score; where alpha = 0, the limit of what that does."""
    if near is None:
        return p.add_score(gradient)
    alpha, sigma = (left(c, gradient) for c in schedule(near))
    eps = p.eps - torch.where(p.alpha == 0, 0, p.sigma) * gradient
    return replace(p, x0=p.x0 + (sigma**2 / alpha) * gradient, eps=eps)
