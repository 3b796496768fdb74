"""The rule that chooses where nobody does: solver and grid by the state's shape."""

import math
from collections.abc import Sequence

from demist.samplers.solvers.bayes import Bayes

AUTO = "auto"
"""What a recipe says in place of a solver's name, where the rule is to choose."""

LARGE = 256
"""Numbers of a vector beyond which the rule is that of images."""


def usual(shape: Sequence[int]) -> tuple[str, str]:
    """Solver and grid from pure noise to data, each with its options.

    Vectors of up to 256 numbers: `bayes` on its own grid, chosen on 48 mixtures drawn by code
    (`benchmarks/solver_rule.py`) and three networks of points in the plane, and measured on other
    mixtures (`solvers_drawn.py`, `solvers_best.py`). All else, such as images, sounds and latents:
    `adams` with p = 2 and its last step DDIM's on the grid `angular`, shifted by `usual_shift`,
    chosen on trained networks, whose flow is less smooth than an exact one (`solver_shift.py`,
    `solvers_networks.py`).

    Args:
        shape: Of the state of one sample.
    """
    shift = usual_shift(shape)
    if _small(shape):
        return Bayes.name, Bayes.grid if shift == 1 else f"{Bayes.grid},shift={shift:g}"
    return "adams:p=2,last=1", "angular" if shift == 1 else f"angular:shift={shift:g}"


def _small(shape: Sequence[int]) -> bool:
    return len(shape) == 1 and shape[0] <= LARGE


def usual_shift(shape: Sequence[int]) -> float:
    """By what the noise levels of the grid are multiplied.

    sqrt(numbers / 256), from 1 on and at most 2.5: the more numbers a state has, the more noise it
    takes to hide what it shows, and the more is decided there. Chosen on digits, a model of scenes
    in latents, one of CIFAR-10, one of sounds and one of scenes in pixels, all trained here;
    `benchmarks/solver_shift.py` measures it on others. Of vectors of up to 256 numbers
    sqrt(numbers / 64), from 1 on and at most 1.5, chosen on the 22 mixtures to choose on that have
    24 dimensions or more.

    Args:
        shape: Of the state of one sample.

    References:
        Esser et al. 2024, arXiv:2403.03206, section 5.3.2: the root of the ratio.
    """
    of, most = (64, 1.5) if _small(shape) else (LARGE, 2.5)
    return round(min(most, max(1.0, math.sqrt(math.prod(shape) / of))), 2)


def settled(spec: str, steps: int) -> str:
    """`spec`, or where it is `auto` the solver for so many steps on a grid that somebody chose.

    `adams`, up to 10 steps with p = 2 and its last step DDIM's.
    """
    if spec != AUTO:
        return spec
    return "adams:p=2,last=1" if steps <= 10 else "adams"
