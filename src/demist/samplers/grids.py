"""Time grids: decreasing float64 tensors that end in 0. A list you typed is as good as any here.

A grid of n + 1 times makes n steps. The grids below differ only in where they place the noise
levels; none of them rounds a time. Image-to-image starts a grid at a strength below 1, and a grid
that goes *up* re-noises on the way (time travel, restart sampling).
"""

import math

import torch
from torch import Tensor

from demist.core import Schedule
from demist.errors import MissingError


def uniform(n: int, start: float = 1.0) -> Tensor:
    """Evenly spaced in t, from `start` to 0: shape `(n + 1,)`."""
    return torch.linspace(start, 0, _count(n) + 1, dtype=torch.float64)


def shifted(n: int, shift: float = 3.0, start: float = 1.0) -> Tensor:
    """Uniform in t, then moved towards noise: t = shift u / (1 + (shift - 1) u).

    References:
        Esser et al. 2024, "Scaling Rectified Flow Transformers for High-Resolution Image
        Synthesis", arXiv:2403.03206, eq. 23.
    """
    if shift <= 0:
        raise ValueError(
            f"shift must be positive, got {shift:g}; 1 leaves the times where they are"
        )
    u = torch.linspace(1, 0, _count(n) + 1, dtype=torch.float64)
    return start * shift * u / (1 + (shift - 1) * u)


def beta(n: int, a: float = 0.6, b: float = 0.6, start: float = 1.0) -> Tensor:
    """Quantiles of the Beta distribution in t: for a = b < 1, short steps at both ends.

    Args:
        n: Number of steps.
        a: Shape of the distribution towards clean data, above 0.
        b: Shape towards noise, above 0.
        start: Time of the first level.

    References:
        Lee et al. 2024, "Beta Sampling is All You Need", arXiv:2407.12173, section 4.

    Raises:
        ValueError: If `a` or `b` is not positive.
        MissingError: Without scipy, which has the quantile function.
    """
    if a <= 0 or b <= 0:
        raise ValueError(f"the shapes of a Beta distribution must be positive, got {a:g} and {b:g}")
    try:
        from scipy.special import betaincinv
    except ImportError:
        raise MissingError("the grid 'beta' needs scipy: pip install 'demist[eval]'") from None
    u = torch.linspace(1, 0, _count(n) + 1, dtype=torch.float64)
    return _between(start * torch.from_numpy(betaincinv(a, b, u.numpy())), start)


def angular(
    n: int, schedule: Schedule, start: float = 1.0, clean: float = 1.75, noisy: float = 1.35
) -> Tensor:
    """Steps in the angle atan2(sigma, alpha), from `schedule` at `start` down to clean data.

    angle = top (1 - (1 - u)^noisy)^clean with u evenly spaced from 1 to 0. The noise levels are
    the same for every schedule that begins in pure noise. `clean = noisy = 1` gives even steps;
    larger powers shorten the steps towards clean data and towards pure noise. The defaults were
    among the best of fifteen pairs for `adams` at 10 to 40 steps on five mixtures of 2 to 64
    dimensions; `noisy` was then raised from 1.25 so that order 4 survives the first steps.
    """
    u = torch.linspace(1, 0, _count(n) + 1, dtype=torch.float64)
    return _at_angles((1 - (1 - u) ** noisy) ** clean, schedule, start)


def cosine(n: int, schedule: Schedule, start: float = 1.0) -> Tensor:
    """Even steps in the angle: uniform in t, were the schedule `Cosine`."""
    return angular(n, schedule, start, clean=1.0, noisy=1.0)


def smooth(n: int, schedule: Schedule, start: float = 1.0) -> Tensor:
    """Like `angular`, with steps that shrink quadratically towards both ends alike.

    angle = top sin^2(pi u / 2). Multistep solvers that extrapolate in the log-SNR, which is
    infinite at both ends, keep their order on it from pure noise to clean data; where steps do not
    shrink they gain a factor log(n) in the error.
    """
    u = torch.linspace(1, 0, _count(n) + 1, dtype=torch.float64)
    return _at_angles(torch.sin(math.pi / 2 * u) ** 2, schedule, start)


def log_snr(
    n: int, schedule: Schedule, low: float = -10.0, high: float = 10.0, start: float = 1.0
) -> Tensor:
    """Evenly spaced in log-SNR between `low` and `high`, then one step to clean data."""
    levels = torch.linspace(low, high, _count(n), dtype=torch.float64)
    return _ended(schedule.time_at(levels), start)


def exponential(
    n: int,
    schedule: Schedule,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    start: float = 1.0,
) -> Tensor:
    """Evenly spaced in log(sigma / alpha) between two levels, then one step to clean data.

    `log_snr` between other ends: those that `karras` has.
    """
    return log_snr(n, schedule, -2 * math.log(sigma_max), -2 * math.log(sigma_min), start)


def karras(
    n: int,
    schedule: Schedule,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    start: float = 1.0,
) -> Tensor:
    """Evenly spaced in (sigma / alpha)^(1 / rho), then one step to clean data.

    Levels beyond the schedule's reach are cut off at its ends.

    References:
        Karras et al. 2022, arXiv:2206.00364, eq. 5.
    """
    ends = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    u = torch.linspace(*ends, _count(n), dtype=torch.float64)
    return _ended(schedule.time_at(-2 * u.pow(rho).log()), start)


def trailing(n: int, steps: int = 1000) -> Tensor:
    """The times of a discrete model, from the last step down in even strides (Lin et al. 2023).

    Always includes pure noise; the right choice for models with zero terminal SNR.
    """
    stride = steps / _count(n, steps)
    index = (steps - torch.arange(n, dtype=torch.float64) * stride).round() - 1
    return _discrete(index, steps)


def leading(n: int, steps: int = 1000, offset: int = 0) -> Tensor:
    """The times of a discrete model, in whole strides up from step `offset` (DDIM's code).

    It never visits the noisiest steps: kept for reproducing published samples.
    """
    stride = steps // _count(n, steps)
    index = torch.arange(n, dtype=torch.float64).flip(0) * stride + offset
    return _discrete(index.clamp(max=steps - 1), steps)


def linspace(n: int, steps: int = 1000) -> Tensor:
    """The times of a discrete model, evenly from the last step to the first (Nichol & Dhariwal)."""
    index = torch.linspace(steps - 1, 0, _count(n, steps), dtype=torch.float64).round()
    return _discrete(index, steps)


def _discrete(index: Tensor, steps: int) -> Tensor:
    """0-based steps to times, ended by clean data."""
    return torch.cat([(index + 1) / steps, torch.zeros(1, dtype=torch.float64)])


def _at_angles(fraction: Tensor, schedule: Schedule, start: float) -> Tensor:
    """Times at the given fractions (1 to 0) of the schedule's angle at `start`."""
    top = schedule.angle(torch.tensor(start, dtype=torch.float64))
    return _between(schedule.time_at_angle(top * fraction), start)


def _ended(times: Tensor, start: float) -> Tensor:
    return _between(torch.cat([times, times.new_zeros(1)]), start)


def _between(grid: Tensor, start: float) -> Tensor:
    """Levels out of reach become `start`, the last time is exactly 0, and no time repeats."""
    reach = grid >= start * (1 - 1e-12)
    grid = torch.where(reach, start, grid)
    grid[-1] = 0.0
    keep = torch.ones_like(grid, dtype=torch.bool)
    keep[1:] = grid.diff() < 0
    return grid[keep]


def _count(n: int, steps: float = math.inf) -> int:
    if not 1 <= n <= steps:
        limit = "" if steps == math.inf else f" and at most the model's {steps} steps"
        raise ValueError(f"the number of steps must be at least 1{limit}, got {n}")
    return n
