"""The defaults of the libraries on problems that nobody chose: mixtures drawn by code.

    python benchmarks/solvers_drawn.py [--problems 24] [--out FOLDER]

`solvers.py` looks for each library's best setting on two mixtures that are written down. Here each
library samples as its own guide begins, on 24 mixtures of `field/drawn.py` on which no default was
chosen, and which nobody had sampled before demist's stood. Errors are against the float64 solution
of the probability-flow ODE. Writes `solvers_drawn.md`: for each budget the ratio of a library's
error to demist's, as median, quartiles, smallest and largest over the problems. `adams` without
options is a row as well. Needs the peers of `peers.txt`; those that are not installed are left out.
"""

import argparse
import datetime
import importlib.util
import platform
from pathlib import Path

import numpy as np
import torch
from field.drawn import UNSEEN, drawn
from field.problem import Problem
from solvers import measure, samplers, version

BUDGETS = (5, 8, 10, 15, 20, 40)
PLAIN = "demist, adams"
"""The default of all states before 30 November 2026 beyond 10 steps."""
PEERS = {"diffusers": "diffusers", "k-diffusion": "k_diffusion", "azula": "azula"}
"""Library -> its module."""


def errors(library: str, problem: Problem) -> list[tuple[float, float]]:
    """Root mean square and median error of a library's default at each budget."""
    if library == PLAIN:
        (default,) = [
            s for s in samplers("demist") if (s.method, s.settings) == ("adams", "angular")
        ]
    else:
        (default,) = [s for s in samplers(library) if s.default == "library"]
    rows = [measure(default, problem, budget) for budget in BUDGETS]
    return [(row.rms, row.median) if row else (float("nan"),) * 2 for row in rows]


def table(found: dict[str, np.ndarray], which: int) -> list[str]:
    """Rows of ratios to demist's errors; `which`: 0 the root mean square, 1 the median."""
    lines = [f"| library | {' | '.join(map(str, BUDGETS))} |", "|---" * (len(BUDGETS) + 1) + "|"]
    for library, values in found.items():
        if library == "demist":
            continue
        ratios = values[:, :, which] / found["demist"][:, :, which]
        cells = []
        for column in ratios.T:
            low, middle, high = np.nanquantile(column, (0.25, 0.5, 0.75))
            won = int((column > 1).sum())
            cells.append(
                f"**{middle:.2g}** ({low:.2g} to {high:.2g}; {np.nanmin(column):.2g} to "
                f"{np.nanmax(column):.2g}; {won} of {len(column)})"
            )
        lines.append(f"| {library} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    peers = [n for n, m in PEERS.items() if importlib.util.find_spec(m)]
    libraries = ["demist", PLAIN, *peers]
    problems = [drawn(number) for number in UNSEEN[: options.problems]]
    rows: dict[str, list[list[tuple[float, float]]]] = {library: [] for library in libraries}
    for problem in problems:
        for library in libraries:
            rows[library].append(errors(library, problem))
        print(problem.name, [f"{rms:.2g}" for rms, _ in rows["demist"][-1]], flush=True)
    found = {library: np.array(values) for library, values in rows.items()}
    versions = ", ".join(f"{library} {version(library)}" for library in ["demist", *peers])
    lines = [
        "# Defaults on problems that nobody chose",
        "",
        f"`python benchmarks/solvers_drawn.py`; {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}; {versions}; "
        f"{datetime.date.today()}. Errors do not depend on the machine.",
        "",
        f"The error of each library's default over that of demist's, on {len(problems)} mixtures "
        "drawn by code and not sampled before the default stood, with at most so many evaluations: "
        "**median** (quartiles; smallest to largest; problems on which demist's is smaller).",
        "",
        "## Root mean square error",
        "",
        *table(found, 0),
        "",
        "## Median error",
        "",
        *table(found, 1),
        "",
        "## The problems",
        "",
        *(f"- {problem.name}" for problem in problems),
        "",
    ]
    (options.out / "solvers_drawn.md").write_text("\n".join(lines))
    print(options.out / "solvers_drawn.md")


if __name__ == "__main__":
    main()
