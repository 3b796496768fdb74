"""Error against network evaluations: demist and its peers on the same exact denoiser.

    python benchmarks/solvers.py [--only LIBRARY ...] [--jobs N] [--out FOLDER]
    python benchmarks/solvers.py --overhead [--out FOLDER]

Every sampler of every library, at every setting listed in `benchmarks/field/`, runs at up to 40
evaluations; at 80 and 160 the defaults run, and the settings that led their library at 20 or 40.
With `--only`, the recorded rows of the other libraries are kept, and with `--missing` all are and
only what is not there is measured: errors do not depend on the run.
Writes `solvers.csv.gz` (every row), `solvers.md` and `solvers.png`. With `--overhead`, measures the
time each library adds per step instead, and writes `solvers_overhead.md`: leave the machine alone
meanwhile. The peers are no dependency of demist; `benchmarks/peers.txt` says how to install them.
"""

import argparse
import contextlib
import importlib
import math
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import torch
from field import overhead, report
from field.problem import BUDGETS, Problem, Sampler, guess, problems

MODULES = {
    "demist": "ours",
    "diffusers": "peer_diffusers",
    "k-diffusion": "peer_k_diffusion",
    "azula": "peer_azula",
}
EVERYONE_UP_TO = 40
LEADERS = 12
SLICES = 16


@cache
def samplers(library: str) -> list[Sampler]:
    """The samplers of a library."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        return importlib.import_module(f"field.{MODULES[library]}").samplers()


def version(library: str) -> str:
    """The installed version."""
    return importlib.import_module(f"field.{MODULES[library]}").VERSION


@cache
def problem_called(name: str) -> Problem:
    """A problem with its reference solved."""
    found = next(p for p in problems() if p.name == name)
    found.reference()
    return found


def measure(sampler: Sampler, problem: Problem, budget: int) -> report.Row | None:
    """The error with the most steps that make at most `budget` evaluations; None if none do."""
    trouble = ""
    for steps in range(guess(sampler, problem, budget), 0, -1):
        problem.calls = 0
        start = time.perf_counter()
        try:
            x = sampler.run(problem, steps)
        except Exception as error:  # a finding about the sampler, recorded as such
            trouble = trouble or f"{type(error).__name__}: {error}"[:120]
            if steps < budget / 4:
                break
            continue
        if problem.calls > budget:
            continue
        seconds = time.perf_counter() - start
        rms, median = problem.errors(x, sampler.noisier)
        return report.Row(
            problem.name, sampler.library, sampler.method, sampler.settings, sampler.default,
            budget, steps, problem.calls, rms, median, seconds, trouble,
        )  # fmt: skip
    if not trouble:
        return None
    return report.Row(
        problem.name, sampler.library, sampler.method, sampler.settings, sampler.default,
        budget, 0, 0, math.nan, math.nan, 0.0, trouble,
    )  # fmt: skip


def work(library: str, name: str, indices: list[int], budgets: list[int]) -> list[report.Row]:
    """Rows of some samplers of one library on one problem."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    problem, rows = problem_called(name), []
    for i in indices:
        rows += [measure(samplers(library)[i], problem, budget) for budget in budgets]
    return [row for row in rows if row is not None]


def leaders(rows: list[report.Row], library: str, name: str) -> list[int]:
    """Indices of the samplers to run at large budgets: defaults, and the best at 20 and 40."""
    every = samplers(library)
    if library == "demist":
        return list(range(len(every)))
    keep = {(s.method, s.settings) for s in every if s.default}
    for budget in (20, EVERYONE_UP_TO):
        here = [r for r in rows if (r.library, r.problem, r.budget) == (library, name, budget)]
        for measured in ("rms", "median"):
            best = sorted(here, key=lambda r: report.finite(getattr(r, measured)))[:LEADERS]
            keep |= {(r.method, r.settings) for r in best}
    return [i for i, s in enumerate(every) if (s.method, s.settings) in keep]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(MODULES), choices=list(MODULES))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--missing", action="store_true", help="go on with what is recorded")
    parser.add_argument("--overhead", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    versions = {name: version(name) for name in MODULES}
    if args.overhead:
        report.write_overhead(overhead.measure(), args.out, versions)
        return
    names = [p.name for p in problems()]
    small = [b for b in BUDGETS if b <= EVERYONE_UP_TO]
    large = [b for b in BUDGETS if b > EVERYONE_UP_TO]
    recorded = args.out / "solvers.csv.gz"
    kept = report.load(recorded) if recorded.exists() else []
    rows = [row for row in kept if args.missing or row.library not in args.only]
    done = {(r.library, r.problem, r.method, r.settings, r.budget) for r in rows}
    start = time.perf_counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        for budgets in (small, large):
            futures = {}
            for library in args.only:
                for name in names:
                    every = samplers(library)
                    chosen = leaders(rows, library, name) if budgets is large else range(len(every))
                    chosen = [
                        i
                        for i in chosen
                        if not any(
                            (library, name, every[i].method, every[i].settings, b) in done
                            for b in budgets
                        )
                    ]
                    for k in range(SLICES):
                        if chosen[k::SLICES]:
                            task = pool.submit(work, library, name, chosen[k::SLICES], budgets)
                            futures[task] = f"{library} {name} {budgets} {k + 1}/{SLICES}"
            for task in as_completed(futures):
                rows += task.result()
                report.save(rows, recorded)
                print(f"{time.perf_counter() - start:6.0f} s  {futures[task]}", flush=True)
    report.write(rows, args.out, versions)


if __name__ == "__main__":
    main()
