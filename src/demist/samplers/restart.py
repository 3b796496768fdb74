"""Restart sampling: a grid that goes down, back up, and down again."""

import torch
from torch import Tensor

from demist.samplers.grids.grid import CLOSE


def restart(grid: Tensor, low: float, high: float, repeats: int = 1) -> Tensor:
    """Jump back from `low` to `high` and walk down again, `repeats` times, on the way to data.

    The state is re-noised by the exact forward transition (see `trajectory`), which contracts what
    errors have gathered; the walks down are an ODE solver's, which makes few. No solver is needed
    for it: any one will do, and multistep solvers start afresh after a jump.

    Args:
        grid: Decreasing times, shape `(n + 1,)`.
        low: Time to jump from, within the grid and above its end; becomes one of its times.
        high: Time to jump to, above `low` and at most the grid's first; likewise.
        repeats: How often to jump.

    Returns:
        The times of all walks, float64. Between `high` and `low` they are the grid's own, without
        those that differ from the two by rounding.

    Raises:
        ValueError: If the times are not so ordered.

    References:
        Xu et al. 2023, "Restart Sampling for Improving Generative Processes", arXiv:2306.14878,
        section 3.
    """
    grid = torch.as_tensor(grid, dtype=torch.float64)
    if not (grid.diff() < 0).all():
        raise ValueError(f"restart needs a decreasing grid, got {grid.tolist()}")
    if not float(grid[-1]) < low < high <= float(grid[0]):
        raise ValueError(
            f"restart needs grid[-1] < low < high <= grid[0], got low = {low:g} and high = "
            f"{high:g} for a grid from {float(grid[0]):g} to {float(grid[-1]):g}"
        )
    if repeats < 0:
        raise ValueError(f"the number of restarts must be at least 0, got {repeats}")
    above, below = grid > high * (1 + CLOSE), grid < low * (1 - CLOSE)
    between = grid[(grid < high * (1 - CLOSE)) & (grid > low * (1 + CLOSE))]
    walk = torch.cat([grid.new_tensor([high]), between, grid.new_tensor([low])])
    return torch.cat([grid[above], walk.repeat(1 + repeats), grid[below]])
