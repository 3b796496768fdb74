"""The measured order of every deterministic solver: on its own grid, from pure noise to clean data.

    python benchmarks/orders.py [--out benchmarks/results]

log2 of the error ratio from 192 to 384 steps, in float64, on a Gaussian (whose flow is a formula)
and on a mixture of three (against a far finer solution). Writes `orders.md`; `tests/contracts` hold
the same figures to within 0.2 of each class's claim.
"""

import argparse
import sys
from pathlib import Path

import torch

from demist.core.exact import Exact
from demist.samplers import SOLVERS, Adams, make_grid, make_solver, sample, smooth
from demist.version import __version__

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from field.report import machine

from truth import (
    MIXTURE,
    NORMAL,
    SCHEDULES,
    T,
    end_to_end_error,
    noise_and_data,
    observed_order,
)

NAMES = ("linear", "vp", "ve", "cosine", "sigmoid", "table-zero-snr")
MORE = ("adams:p=1", "adams:p=2", "trig:p=2", "deis:p=4,start=runge-kutta", "unipc:p=3,variant=bh1")


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    ends = {}
    for name in NAMES:
        schedule = SCHEDULES[name]
        normal = NORMAL.flow(noise_and_data(NORMAL, schedule), schedule(T(1.0)), schedule(T(0.0)))
        x = noise_and_data(MIXTURE, schedule)
        fine = sample(Exact(MIXTURE, schedule), x, smooth(1500, schedule), Adams())
        ends[name] = normal, fine
    lines = [
        "# Measured orders",
        "",
        f"`python benchmarks/orders.py`; {machine({'demist': __version__})}.",
        "",
        "From pure noise to clean data, each on the grid that its class names. "
        "Every cell: Gaussian / mixture; log2 of the error ratio from 192 to 384 steps. UniPC with "
        "p = 3 lies between the 4 of its formula and the 3 of its start.",
        "",
        "| solver | grid | claim | " + " | ".join(NAMES) + " |",
        "| --- | --- | --- |" + " --- |" * len(NAMES),
    ]
    for spec in sorted([*SOLVERS.names(), *MORE]):
        solver = make_solver(spec)
        if solver.stochastic:
            continue

        def home(n, schedule, solver=solver):
            return make_grid(solver.grid, n, schedule)

        cells = []
        for name in NAMES:
            measured = (
                observed_order(end_to_end_error(data, SCHEDULES[name], solver, end, home), 192)
                for data, end in zip((NORMAL, MIXTURE), ends[name], strict=True)
            )
            cells.append(" / ".join(f"{order:.2f}" for order in measured))
        lines.append(f"| {spec} | {solver.grid} | {solver.order} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "orders.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
