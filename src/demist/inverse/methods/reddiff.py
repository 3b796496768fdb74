"""Regularisation by denoising: one image, optimised."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from demist.core import Model, Noise
from demist.inverse.measurement import Measurement
from demist.inverse.operator import LinearOperator
from demist.inverse.stepped import Stepped
from demist.samplers import Solver


@dataclass(frozen=True)
class REDDiff(Stepped):
    """Adam on the data `mu` itself, towards the measurement and towards what is denoised.

        gradient = A'(A mu - y) + weight (mu - x0_hat(alpha mu + sigma eps))

    The paper's `weight (sigma / alpha) (eps_hat - eps)` is the second term. The levels go down with
    the grid, one step of Adam each, so a grid of few steps leaves `mu` near its start A^+ y: take
    hundreds. For nonlinear operators A' is the Jacobian's, and `mu` starts from the first
    prediction. Nothing of the state is used but its shape: the solver and the start are left aside.

    Exact nowhere: it looks for one likely answer, no posterior is sampled, and the spread is far
    too small (`test_reddiff_looks_for_one_answer`). The noise of the measurement plays no part, so
    that it is mostly fitted. One evaluation per step, no gradients of the model.

    References:
        Mardani et al. 2023, "A Variational Perspective on Solving Inverse Problems with Diffusion
        Models", arXiv:2305.04391, algorithm 1; Kingma & Ba 2014, arXiv:1412.6980 (Adam, here with
        decays 0.9 and 0.99 as there).

    Attributes:
        weight: Of the prior, the paper's lambda; above 0.
        rate: Adam's step, in the unit of the data; above 0.
    """

    name: ClassVar[str] = "reddiff"
    linear: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False
    downhill: ClassVar[bool] = True
    weight: float = 0.25
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not (self.weight > 0 and self.rate > 0):
            raise ValueError(f"weight and rate are above 0, got {self.weight} and {self.rate}")

    def step(
        self,
        measurement: Measurement,
        solver: Solver,
        model: Model,
        x: Tensor,
        t: Tensor,
        s: Tensor,
        memory: Any,
        noise: Noise,
    ) -> tuple[Tensor, Any]:
        """See `Stepped`; the memory is `(mu, first moment, second moment, steps)`."""
        if memory is None:
            mu = _start(measurement, model, x, t)
            memory = (mu, torch.zeros_like(mu), torch.zeros_like(mu), 0)
        mu, first, second, k = memory
        (alpha, sigma), eps = model.schedule(t), noise(x)
        x0 = model(alpha * mu + sigma * eps, t).x0
        slope = _slope(measurement, mu) + self.weight * (mu - x0)
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        unbiased = (second / (1 - 0.99 ** (k + 1))).sqrt() + 1e-8
        mu = mu - self.rate * (first / (1 - 0.9 ** (k + 1))) / unbiased
        alpha, sigma = model.schedule(s)
        return alpha * mu + sigma * eps, (mu, first, second, k + 1)


def _start(measurement: Measurement, model: Model, x: Tensor, t: Tensor) -> Tensor:
    operator = measurement.operator
    if isinstance(operator, LinearOperator):
        return operator.pinv(measurement.y)
    started: Tensor = model(x, t).x0
    return started


def _slope(measurement: Measurement, mu: Tensor) -> Tensor:
    """Gradient of |y - A mu|^2 / 2."""
    operator = measurement.operator
    if isinstance(operator, LinearOperator):
        return -operator.adjoint(measurement.residual(mu))
    with torch.inference_mode(False), torch.enable_grad():
        leaf = mu.clone().requires_grad_()
        (slope,) = torch.autograd.grad(measurement.residual(leaf).square().sum() / 2, leaf)
    return slope
