"""Euler's method in the schedule's own time: the plain baseline."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import Model, Noise, State
from demist.samplers.solver import Solver


@dataclass(frozen=True)
class Euler(Solver):
    """Follow the probability-flow velocity at `t` for the whole step.

        x_s = x + (s - t) (alpha' x0 + sigma' eps)

    Where alpha and sigma are straight in t (rectified flow, EDM) this is DDIM, which is Euler's
    method in the path's own coordinates: dx = x0 dalpha + eps dsigma. Elsewhere the two differ.
    DDIM is exact wherever the prediction is constant, above all on one data point; this one misses
    it by the bend of the path. On data of unit variance a variance-preserving path hardly moves at
    all, and this one gains what it loses there. Both are of first order.

    First step: DDIM's where a rate is infinite (`Sigmoid` at t = 1). Last step: DDIM's, which is
    the expected data; where sigma' is infinite (`VP` at t = 0) the chord misses it by as much as
    sigma.

    One evaluation per step.

    References:
        Song et al. 2021, arXiv:2011.13456, eq. 13 (the ODE); Lipman et al. 2022,
        arXiv:2210.02747, section 3.
    """

    name = "euler"
    order = 1

    def step(
        self, model: Model, x: State, t: Tensor, s: Tensor, memory: Any, noise: Noise
    ) -> tuple[State, None]:
        """See `Solver.step`."""
        p = model(x, t)
        rates = model.schedule.rates(t)
        if s == 0 or not torch.stack(rates).isfinite().all():
            alpha, sigma = model.schedule(s)
            return alpha * p.x0 + sigma * p.eps, None
        return x + (s - t) * p.velocity(rates), None
