"""The rule that chooses where nobody does: the solver by the number of steps."""

AUTO = "auto"
"""What a recipe says in place of a solver's name, where the rule is to choose."""


def usual(steps: int) -> str:
    """The solver for so many steps, with its options.

    `adams` whose last step is DDIM's, with p = 2 up to 10 steps and p = 3 beyond. The rule was
    chosen on 24 mixtures drawn by code (`benchmarks/solver_rule.py`) and the digits model;
    `benchmarks/solvers_drawn.py` measures it on other mixtures.

    Args:
        steps: From noise to data, at least 1.
    """
    return f"adams:p={2 if steps <= 10 else 3},last=1"


def settled(spec: str, steps: int) -> str:
    """`spec`, or where it is `auto` the solver of the rule."""
    return usual(steps) if spec == AUTO else spec
