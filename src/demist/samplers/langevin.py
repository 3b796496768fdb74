"""Langevin dynamics on the score: at one noise level, and annealed from level to level.

    x <- x + (delta sigma^2 / 2) score(x) + sigma sqrt(delta) z

Its stationary law is that of the noisy data at this level, up to the order of `delta`, the share of
the noise that a step replaces: no accept-reject test corrects it ("unadjusted"). On data of total
variance V per direction (V = alpha^2 v + sigma^2) the variance comes out as
V / (1 - delta sigma^2 / (4 V)), at most a share of about delta / 4 too large.

These are not solvers: they run at fixed levels, so no number of levels makes them exact. For
sampling in earnest see `corrector.Corrected`.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from demist.core import Gaussian, Model, Noise, State, solvable, solvable_grid
from demist.samplers.loop import TrajectoryPoint


def langevin(
    model: Model,
    x: State,
    t: Tensor,
    steps: int,
    delta: float = 0.1,
    noise: Noise | None = None,
    *,
    index: int = 0,
    **cond: Any,
) -> Iterator[State]:
    """Yield the state after each of `steps` Langevin steps at the noise level of `t`.

    One evaluation per step.

    Args:
        model: Any denoiser.
        x: State to start from, anywhere.
        t: Time whose marginal is sampled, in (0, 1], 0-dimensional float64.
        steps: How many.
        delta: Share of the noise replaced per step, in (0, 1]: step size over sigma^2.
        noise: Default `Gaussian()`.
        index: Number of steps already done, to go on with the noise that follows.
        cond: Conditions, handed to the model.

    Raises:
        ValueError: If `t` or `delta` is out of range.

    References:
        Song & Ermon 2019, "Generative Modeling by Estimating Gradients of the Data Distribution",
        arXiv:1907.05600, eq. 4; Roberts & Tweedie 1996, "Exponential convergence of Langevin
        distributions and their discrete approximations" (the unadjusted algorithm).
    """
    _check(t, delta)
    t = solvable(model, t)
    noise = Gaussian() if noise is None else noise
    for k in range(index, index + steps):
        x = _step(model, x, t, delta, noise.at(k, t, t), cond)
        yield x


def annealed_langevin(
    model: Model,
    x: State,
    grid: Tensor,
    steps: int = 5,
    delta: float = 0.1,
    noise: Noise | None = None,
    **cond: Any,
) -> Iterator[TrajectoryPoint]:
    """Yield the state after `steps` Langevin steps at each level of `grid`, noisiest first.

    Between levels the state is left as it is. A grid that ends in 0 ends with the predicted x0,
    which removes the last level's noise (not in the original algorithm). The levels must be close
    together or the steps many: Song & Ermon use a geometric series of 10 levels with 100 steps
    each, and `delta` = epsilon / sigma_L^2 = 0.2 in their notation.

    Args:
        model: Any denoiser.
        x: State to start from; in noise, `sigma(grid[0])` times a draw.
        grid: Decreasing times in [0, 1].
        steps: Langevin steps per level; so many evaluations per level, one at t = 0.
        delta: As in `langevin`.
        noise: Default `Gaussian()`.
        cond: Conditions, handed to the model.

    Raises:
        ValueError: If the grid or `delta` is out of range.

    References:
        Song & Ermon 2019, arXiv:1907.05600, algorithm 1; Jolicoeur-Martineau et al. 2021,
        "Adversarial score matching and improved sampling", arXiv:2009.05475 (the last step).
    """
    if not (grid.diff() < 0).all():
        raise ValueError(f"the levels must be decreasing times, got {grid.tolist()}")
    _check(grid[0], delta)
    grid = solvable_grid(model, grid)
    noise = Gaussian() if noise is None else noise
    for i, t in enumerate(grid):
        if t == 0:
            with torch.no_grad():
                x = model(x, grid[i - 1], **cond).x0
        else:
            for k in range(i * steps, (i + 1) * steps):
                x = _step(model, x, t, delta, noise.at(k, t, t), cond)
        yield TrajectoryPoint(i, t, x, None)


@torch.no_grad()
def _step(
    model: Model, x: State, t: Tensor, delta: float, noise: Noise, cond: dict[str, Any]
) -> State:
    p = model(x, t, **cond)
    return x + (delta * p.sigma**2 / 2) * p.score + (math.sqrt(delta) * p.sigma) * noise(x)


def _check(t: Tensor, delta: float) -> None:
    if not 0 < t <= 1:
        raise ValueError(
            f"Langevin dynamics needs a time in (0, 1], got {float(t):g}; clean data (t = 0) has "
            f"no score, take a small time such as 0.01"
        )
    if not 0 < delta <= 1:
        raise ValueError(f"delta is a share of the noise, in (0, 1], got {delta}")
