"""The rule that chooses where nobody does: solver and grid by steps and the size of a state."""

import math

AUTO = "auto"
"""What a recipe says in place of a solver's name, where the rule is to choose."""


LARGE = 256
"""Numbers of a state beyond which the rule is that of images."""


def usual(steps: int, numbers: int = 1) -> str:
    """The solver for so many steps from pure noise, with its options.

    `adams` with p = 2 and its last step DDIM's; in states of up to 256 numbers that up to 10 steps,
    and beyond `adams` as it is. The first was chosen on 24 mixtures drawn by code of up to 256
    numbers (`benchmarks/solver_rule.py`) and the digits model, the second on two trained networks,
    whose flow is less smooth than an exact one. `benchmarks/solvers_drawn.py` and
    `solver_shift.py` measure it on other mixtures and networks.

    Args:
        steps: From noise to data, at least 1.
        numbers: Of the state of one sample.
    """
    return "adams:p=2,last=1" if steps <= 10 or numbers > LARGE else "adams"


def usual_shift(numbers: int) -> float:
    """By what the noise levels of the grid `angular` are multiplied, for states of so many numbers.

    sqrt(numbers / 256), from 1 on and at most 2.5: the more numbers a state has, the more noise it
    takes to hide what it shows, and the more is decided there. Chosen on digits, a model of scenes
    in latents, one of CIFAR-10, one of sounds and one of scenes in pixels, all trained here;
    `benchmarks/solver_shift.py` measures it on others.

    Args:
        numbers: Of the state of one sample.

    References:
        Esser et al. 2024, arXiv:2403.03206, section 5.3.2: the root of the ratio.
    """
    return round(min(2.5, max(1.0, math.sqrt(numbers / LARGE))), 2)


def settled(spec: str, steps: int, numbers: int = 1) -> str:
    """`spec`, or where it is `auto` the solver of the rule."""
    return usual(steps, numbers) if spec == AUTO else spec
