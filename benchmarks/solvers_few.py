"""Few evaluations: every solver on its own grid, over eight mixtures unlike those of solvers.py.

    python benchmarks/solvers_few.py [--out benchmarks/results]

2 to 64 dimensions, data of standard deviation 0.2 to 0.9, exact denoisers; the root mean square
error against the float64 solution, in data standard deviations. No default was chosen on these.
Writes `solvers_few.md`.
"""

import argparse
import math
from pathlib import Path

import torch
from field.ours import Counted
from field.problem import Problem, f64
from field.report import machine

from demist.core.exact import Mixture
from demist.samplers import SOLVERS, make_grid, make_solver, sample
from demist.version import __version__

BUDGETS = (4, 5, 6, 7, 8, 10, 14, 20)
SHAPES = (  # dimensions, components, scale, log10 of the last axis' scale relative to the first
    (2, 4, 1.0, 0.0), (2, 8, 0.5, 0.0), (3, 5, 1.0, 0.0), (8, 6, 0.5, 0.0),
    (16, 10, 1.0, -1.0), (32, 10, 0.5, -1.0), (64, 20, 0.5, -1.0), (64, 5, 1.0, -0.5),
)  # fmt: skip


def problems() -> list[Problem]:
    """Random mixtures whose components are 0.05 to 0.45 times as wide as they lie apart."""
    found = []
    for seed, (dimensions, components, scale, fall) in enumerate(SHAPES):
        g = torch.Generator().manual_seed(100 + seed)
        spectrum = torch.logspace(0, fall, dimensions, dtype=f64) * scale
        means = torch.randn((components, dimensions), generator=g, dtype=f64) * spectrum
        widths = 0.05 + 0.4 * torch.rand((components, 1), generator=g, dtype=f64)
        weights = torch.full((components,), 1 / components, dtype=f64)
        z = torch.randn((512, dimensions), generator=g, dtype=f64)
        data = Mixture(weights, means, (widths * spectrum) ** 2)
        found.append(Problem(f"{dimensions}-{components}", data, z))
        found[-1].reference(rtol=1e-9)
    return found


def error(problem: Problem, spec: str, budget: int) -> float:
    """RMS error with as many steps as the budget allows."""
    solver = make_solver(spec)
    steps = max((n for n in range(1, budget + 1) if solver.evaluations(n) <= budget), default=0)
    if not steps:
        return math.nan
    grid = make_grid(solver.grid, steps, problem.schedule)
    x = problem.schedule(grid[0])[1] * problem.z
    return problem.errors(sample(Counted(problem), x, grid, solver))[0]


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = [n for n in SOLVERS.names() if not make_solver(n).stochastic] + ["adams:p=2"]
    data, rows = problems(), {}
    for spec in names:
        logs = [[math.log(error(p, spec, budget)) for p in data] for budget in BUDGETS]
        rows[spec] = [math.exp(sum(row) / len(row)) for row in logs]
        print(spec, *(f"{value:.4f}" for value in rows[spec]), flush=True)
    best = [min(row[i] for row in rows.values()) for i in range(len(BUDGETS))]
    lines = [
        "# Few evaluations",
        "",
        f"`python benchmarks/solvers_few.py`; {machine({'demist': __version__})}.",
        "",
        "Geometric mean over eight mixtures of the RMS error, each solver on its own grid; the "
        "smallest in bold.",
        "",
        "| solver | " + " | ".join(map(str, BUDGETS)) + " |",
        "| --- |" + " --- |" * len(BUDGETS),
    ]
    for spec, row in sorted(rows.items()):
        cells = (f"**{v:.4f}**" if v == b else f"{v:.4f}" for v, b in zip(row, best, strict=True))
        lines.append(f"| {spec} | " + " | ".join(cells) + " |")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "solvers_few.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
