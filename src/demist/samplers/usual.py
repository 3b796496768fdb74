"""The rule that chooses where nobody does: the solver by the number of steps."""

AUTO = "auto"
"""What a recipe says in place of a solver's name, where the rule is to choose."""


def usual(steps: int) -> str:
    """The solver for so many steps, with its options.

    Up to 10 steps `adams` with p = 2 and its last step DDIM's, beyond `adams` as it is. The rule
    was chosen on 24 mixtures drawn by code (`benchmarks/solver_rule.py`) and the digits model;
    `benchmarks/solvers_drawn.py` measures it on other mixtures.

    Args:
        steps: From noise to data, at least 1.
    """
    return "adams:p=2,last=1" if steps <= 10 else "adams"


def settled(spec: str, steps: int) -> str:
    """`spec`, or where it is `auto` the solver of the rule."""
    return usual(steps) if spec == AUTO else spec
