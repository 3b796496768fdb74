"""Which solver, options and grid for how many steps: what `demist.samplers.usual` rests on.

    python benchmarks/solver_rule.py [--out FOLDER]

Each combination of order, last step and grid of `adams`, and of memory, error and grid of `bayes`,
samples the choosing half of `field/drawn.py`. Writes `solver_rule.md`:
geometric means over the problems of the root mean square and the median error, over those of
`adams` without options. What the rule is worth is measured elsewhere, on the other half
(`solvers_drawn.py`, `solvers_best.py`) and on trained networks (`solvers_networks.py`).
"""

import argparse
import datetime
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from field.drawn import CHOOSING, drawn
from field.ours import Counted
from field.problem import Problem

from demist.samplers import Bayes, make_grid, make_solver, sample, usual

STEPS = (3, 4, 5, 6, 7, 8, 10, 12, 13, 15, 20, 25, 40)
SAMPLES = 128
GRIDS = ("angular", "angular:clean=2,noisy=1.35", "angular:clean=2.2,noisy=1.35")
SOLVERS = [
    f"adams:p={p},last={last}" for p, last in product((1, 2, 3), (1, 3)) if last == 1 or p > 1
]
PLAIN = ("adams:p=3,last=3", "angular")
RULE = ("auto", "of the rule")
WAYS = [
    RULE,
    *(("bayes", f"{Bayes.grid},shift={shift}") for shift in (1.25, 1.5, 2)),
    *product(SOLVERS, GRIDS),
    *(
        (f"bayes:p={p},error={error}", f"angular:clean={clean},noisy=1.38")
        for p, error, clean in product((3, 4), (0, 0.002, 0.01), (1.75, 2.3, 2.6))
    ),
]


def errors(problem: Problem, solver: str, grid: str, n: int) -> tuple[float, float]:
    """Root mean square and median error, in data standard deviations."""
    if (solver, grid) == RULE:
        solver, grid = usual(problem.z.shape[1:])
    times = make_grid(grid, n, problem.schedule)
    x = problem.schedule(times[0])[1] * problem.z
    return problem.errors(sample(Counted(problem), x, times, make_solver(solver)))


def table(ways: Sequence[tuple[str, str]], means: np.ndarray) -> Iterator[str]:
    """The rows of one error; `means`: by way and number of steps."""
    plain = means[ways.index(PLAIN)]
    ratios = means / plain
    yield f"| solver | grid | {' | '.join(map(str, STEPS))} |"
    yield "|---" * (len(STEPS) + 2) + "|"
    for (solver, grid), row in zip(ways, ratios, strict=True):
        best = np.isclose(row, ratios.min(0))
        cells = [f"**{v:.2f}**" if b else f"{v:.2f}" for v, b in zip(row, best, strict=True)]
        yield f"| {solver} | {grid} | {' | '.join(cells)} |"
    yield f"| error of `adams` | | {' | '.join(f'{v:.2g}' for v in plain)} |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    problems = [drawn(number, SAMPLES) for number in CHOOSING]
    found = [[[errors(p, *way, n) for p in problems] for n in STEPS] for way in WAYS]
    means = np.exp(np.log(np.array(found)).mean(2))
    lines = [
        "# Solvers and grids by the number of steps",
        "",
        f"`python benchmarks/solver_rule.py`; {datetime.date.today()}. Errors do not depend on the "
        "machine.",
        "",
        f"Geometric means over {len(problems)} mixtures drawn by code, those to choose on, "
        "of two errors, over those of `adams` without options; its own stand in the last row, in "
        "standard deviations of the data. The smallest of a column in bold.",
        "",
    ]
    for title, of in zip(("Root mean square error", "Median error"), means.T, strict=True):
        lines += [f"## {title}", "", *table(WAYS, of.T), ""]
    (options.out / "solver_rule.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
