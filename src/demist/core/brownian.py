r"""Noise that does not depend on how many steps are made.

A solver of the reverse SDE asks for one standard normal draw per step. If all draws are increments
of one Brownian path per sample, a finer grid follows the same path more closely, instead of taking
another: the image sharpens as steps are added, and strong errors can be measured.

The path is a Brownian motion N in the signal-to-noise ratio u = alpha^2 / sigma^2. There, in

    x_s = E[x_s | x_t, x0] + (sigma_s^2 / alpha_s) (N(u_s) - N(u_t)),

the ancestral step with the exact noise of the reverse SDE, increments add up exactly: where x0 is
constant, DDPM in one step and in a thousand end at the same state. Time inversion makes it finite,
N(u) = B(w) / w, where w = 1 / (1 + u) = sigma^2 / (alpha^2 + sigma^2) runs from 0 (data) to 1
(noise) and B is a Brownian bridge on [0, 1], zero at both ends. B is Levy's construction: midpoints
of nested halves, each drawn from a key of its own, so that B(w) is a pure function of (seed, w) and
any point is found in a few dozen draws, without memory of the others.

References:
    Li et al. 2020, "Scalable Gradients for Stochastic Differential Equations", arXiv:2001.01328,
    section 4 (virtual Brownian tree); Karatzas & Shreve 1991, "Brownian Motion and Stochastic
    Calculus", sections 2.3 and 2.9 (Levy's construction, time inversion).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from demist.core.fields import Fields
from demist.core.noise import Noise, Seeded, keyed_normal, standard_normal_log_prob
from demist.core.schedule import Schedule
from demist.core.state import State

_RESOLUTION = 2.0**-14
"""Halving stops at cells this small relative to their distance from 0 and 1: no step is smaller."""


class Brownian(Noise):
    """One Brownian path per sample, for any grid that goes down.

    The k-th draw of a step is an increment of the k-th of independent paths. Made for solvers that
    draw once per step (`ddpm`, `ddim:eta=1`, `sde-dpmpp-2m`, ...); others get independent standard
    normal draws, as from any noise.

    Args:
        seeds: One integer per sample, any size and sign.
        schedule: That of the model, in which the times of the steps are meant.
        span: Set by `at`: `w` at both ends of a step; None is the initial noise, as of `Seeded`.
        field: As in `Seeded`.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        schedule: Schedule,
        span: tuple[float, float] | None = None,
        field: str = "",
    ):
        self.seeds = tuple(int(seed) for seed in seeds)
        self.schedule = schedule
        self.span = span
        self.field = field
        self._start = Seeded(self.seeds, field=field)
        self._draws = 0
        self._last: dict[str, tuple[float, np.ndarray]] = {}

    def __call__(self, like: State) -> State:
        if self.span is None:
            return self._start(like)
        draw, self._draws = self._draws, self._draws + 1
        if isinstance(like, Fields):
            return Fields({name: self._draw(like[name], draw, name) for name in like})
        return self._draw(like, draw, self.field)

    def _draw(self, like: Tensor, draw: int, field: str) -> Tensor:
        assert self.span is not None
        if len(like) != len(self.seeds):
            raise ValueError(
                f"Brownian has {len(self.seeds)} seeds but was asked for noise for {len(like)} "
                f"samples; give one seed per sample"
            )
        shape = tuple(like.shape[1:])
        out = np.empty(tuple(like.shape))
        w, w_end = self.span
        for i, seed in enumerate(self.seeds):
            key = f"{seed}/path/{draw}" + (f"/{field}" if field else "")
            known, value = self._last.get(key, (-1.0, out[i]))
            here = value if known == w and value.shape == shape else bridge(key, w, shape)
            there = bridge(key, w_end, shape)
            self._last[key] = w_end, there
            out[i] = increment(w, w_end, here, there)
        return torch.from_numpy(out).to(like)

    def at(self, index: int, t: Tensor | None = None, s: Tensor | None = None) -> "Brownian":
        if t is None or s is None or not s < t:
            raise ValueError(
                "a Brownian path needs both ends of each step, and steps that go down: going up "
                "and down again must not meet the same noise twice; use Seeded for such grids"
            )
        alpha, sigma = self.schedule(torch.stack([t, s]))
        w = (sigma**2 / (alpha**2 + sigma**2)).tolist()
        here = Brownian(self.seeds, self.schedule, (w[0], w[1]), self.field)
        here._last = self._last  # where one step ends, the next begins: found once
        return here

    def log_prob(self, z: Tensor) -> Tensor:
        return standard_normal_log_prob(z)


def increment(w: float, w_end: float, here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(N(u_end) - N(u)) / sqrt(u_end - u) from the bridge at both ends, u = 1 / w - 1.

    Raises:
        ValueError: If `w_end` is 0: clean data, which is infinitely far along the path.
    """
    if w_end == 0:
        raise ValueError(
            "a Brownian path has no increment onto clean data (t = 0), where no solver should draw"
        )
    return (w * there - w_end * here) / math.sqrt(w * w_end * (w - w_end))


def bridge(key: str, w: float, shape: tuple[int, ...]) -> np.ndarray:
    """The Brownian bridge `key` at `w` in [0, 1]: variance w (1 - w), zero at both ends."""
    low, high = 0.0, 1.0
    at_low = at_high = np.zeros(shape)
    if w in (low, high):
        return at_low
    while high - low > _RESOLUTION * min(low, 1 - high):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        std = math.sqrt((high - low) / 4)
        value = (at_low + at_high) / 2 + std * keyed_normal(f"{key}/{middle.hex()}", shape)
        if w < middle:
            high, at_high = middle, value
        else:
            low, at_low = middle, value
    # Inside a cell every point has a draw of its own: its law is exact, only neighbours closer than
    # the resolution do not know of each other.
    share = (w - low) / (high - low)
    std = math.sqrt((w - low) * (high - w) / (high - low))
    jitter = std * keyed_normal(f"{key}/cell/{w.hex()}", shape)
    return (1 - share) * at_low + share * at_high + jitter
