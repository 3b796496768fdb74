"""The defaults of the libraries on problems that nobody chose: mixtures drawn by code.

    python benchmarks/solvers_drawn.py [--problems 24] [--out FOLDER]

`solvers.py` looks for each library's best setting on two mixtures that are written down. Here each
library samples as its own guide begins, on mixtures whose dimension, number of components,
spectrum, widths and centre come from a seed, so that no default was chosen on them. Errors are
against the float64 solution of the probability-flow ODE. Writes `solvers_drawn.md`: for each budget
the ratio of a library's error to demist's, as median, quartiles, smallest and largest over the
problems. Needs the peers of `peers.txt`; those that are not installed are left out.
"""

import argparse
import datetime
import importlib.util
import platform
from pathlib import Path

import numpy as np
import torch
from field.problem import Problem, f64
from solvers import measure, samplers, version

from demist.core.exact import Mixture

BUDGETS = (5, 10, 20, 40)
FIRST_SEED = 20261128
SAMPLES = 256
KINDS = ("round", "power law", "narrow", "low rank", "ill conditioned", "off centre")
PEERS = {"diffusers": "diffusers", "k-diffusion": "k_diffusion", "azula": "azula"}
"""Library -> its module."""


def drawn(number: int) -> Problem:
    """A mixture of 1 to 30 components in 2 to 64 dimensions, and its start noise."""
    seed = FIRST_SEED + number
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    kind = KINDS[number % len(KINDS)]
    d, k = round(2 ** rng.uniform(1, 6)), round(30 ** rng.uniform(0, 1))
    spectrum, width = torch.ones(d, dtype=f64), rng.uniform(0.1, 0.6)
    if kind == "power law":
        spectrum = torch.arange(1, d + 1, dtype=f64) ** -rng.uniform(0.3, 1.2)
    elif kind == "narrow":
        width = 10 ** rng.uniform(-2.3, -1.2)
    elif kind == "low rank":
        spectrum[1:][torch.rand(d - 1, generator=g) < 0.6] = 10 ** rng.uniform(-3, -1.5)
    elif kind == "ill conditioned":
        spectrum = 10 ** (-rng.uniform(0.5, 2.5) * torch.rand(d, generator=g, dtype=f64))
    means = torch.randn((k, d), generator=g, dtype=f64) * spectrum
    if kind == "off centre":
        means = means + rng.uniform(0.5, 3) * torch.randn(d, generator=g, dtype=f64)
    widths = width * (0.5 + torch.rand((k, 1), generator=g, dtype=f64)) * spectrum
    scale = 2 ** rng.uniform(-1, 0.5)
    weights = torch.rand(k, generator=g, dtype=f64) + 0.2
    data = Mixture(weights, means * scale, (widths * scale) ** 2)
    z = torch.randn((SAMPLES, d), generator=g, dtype=f64)
    return Problem(f"{number + 1}: {kind}, {d}-D, {k} components", data, z)


def errors(library: str, problem: Problem) -> list[tuple[float, float]]:
    """Root mean square and median error of a library's default at each budget."""
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
    libraries = ["demist", *(n for n, m in PEERS.items() if importlib.util.find_spec(m))]
    problems = [drawn(number) for number in range(options.problems)]
    rows: dict[str, list[list[tuple[float, float]]]] = {library: [] for library in libraries}
    for problem in problems:
        for library in libraries:
            rows[library].append(errors(library, problem))
        print(problem.name, [f"{rms:.2g}" for rms, _ in rows["demist"][-1]], flush=True)
    found = {library: np.array(values) for library, values in rows.items()}
    versions = ", ".join(f"{library} {version(library)}" for library in libraries)
    lines = [
        "# Defaults on problems that nobody chose",
        "",
        f"`python benchmarks/solvers_drawn.py`; {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}; {versions}; "
        f"{datetime.date.today()}. Errors do not depend on the machine.",
        "",
        f"The error of each library's default over that of demist's, on {len(problems)} mixtures "
        "drawn by code, with at most so many evaluations: **median** (quartiles; smallest to "
        "largest; problems on which demist's is smaller).",
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
