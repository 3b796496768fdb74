"""How a multistep method remembers, and how it begins while it has too little to remember.

A start is a named choice:

- `lower`: with lower orders, as published. The first step is Euler's, so no method gets beyond
  order 2 on a grid whose first steps are not shorter than the rest.
- `corrected`: the same, but once the model has been asked at the end of an Euler step, that step is
  turned into Heun's. It costs nothing and keeps order 3.
- `runge-kutta`: the first steps are Heun's of third order in flow time, at three evaluations each.
  It keeps order 4.
"""

from demist.core import Prediction, State

STARTS = {"lower": 2, "corrected": 3, "runge-kutta": 4}
"""The order that each start allows."""

NEAREST = 64.0
"""A step so many times longer than the one before has no use for it: on usual grids none is."""

NO_SIGNAL = 1e-3
"""alpha / sigma below which noise counts as all but pure: less than in any published table."""

Levels = tuple[tuple[float, State], ...]
"""Known values and the points at which they are known, newest first."""


def apart(levels: Levels, end: float) -> Levels:
    """The values through which to extrapolate up to `end`: none right beside a newer one.

    Two values at almost the same point give a slope that is all noise, and a longer step magnifies
    it: by their distance in the step's length. So of values nearer than a `NEAREST`-th of the step
    only the newest counts.
    """
    least = abs(end - levels[0][0]) / NEAREST
    kept = [levels[0]]
    for level in levels[1:]:
        if not abs(level[0] - kept[-1][0]) < least:
            kept.append(level)
    return tuple(kept)


def check_options(p: int, highest: int, start: str) -> None:
    """Raise ValueError for an order or a start that does not exist."""
    if not 1 <= p <= highest:
        raise ValueError(f"the order p must be between 1 and {highest}, got {p}")
    if start not in STARTS:
        raise ValueError(f"there is no start {start!r}; there are: {', '.join(STARTS)}")


def starting_steps(p: int, start: str) -> int:
    """How many first steps a method of order `p` takes as Runge-Kutta steps."""
    return max(p - 2, 0) if start == "runge-kutta" else 0


def heun_correction(euler: Prediction, p: Prediction) -> State:
    """What makes Heun's step of Euler's (DDIM's), once the prediction at its end is known.

    From all but pure noise, as a sigma of 10,000, it is Heun's step in flow time: there the step
    has a length of at most 1, while in sigma it is thousands long, and magnifies by as much what
    the two predictions differ by.

    Args:
        euler: The prediction from which the step was made.
        p: The prediction at its end.
    """
    half_alpha, half_sigma = (p.alpha - euler.alpha) / 2, (p.sigma - euler.sigma) / 2
    if 0 < euler.alpha < NO_SIGNAL * euler.sigma:
        end = p.alpha + p.sigma
        half_sigma = (p.sigma - end * euler.sigma / (euler.alpha + euler.sigma)) / 2
        half_alpha = -half_sigma
    return half_alpha * (p.x0 - euler.x0) + half_sigma * (p.eps - euler.eps)
