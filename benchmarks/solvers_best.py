"""demist's default, fitted and not, against the best setting of every peer, cell by cell.

    python benchmarks/solvers_best.py [--numbers 1 3 5 ...] [--samples 128] [--only ours peers]

Each problem is a mixture of those of `field/drawn.py` on which nothing was chosen. Up to number 23
they were looked at while today's default was looked for, up to 63 before its shift was added; from
97 on they were first sampled when it stood.
Every setting of `field/peer_*.py` samples it at each budget, and the best of each library counts,
chosen afterwards on the very samples that report it: what somebody would have got who knew. demist
is measured twice: its default as it is, and its default for a model that `demist.samplers.fit` has
seen, from 256 other starts; neither knows the samples. Errors are against the float64 solution of
the probability-flow ODE. Rows that were made are kept in `results/solvers_best.json`, and the page
is written from all of them. Needs the peers of `peers.txt`.
"""

import argparse
import json
import math
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from field.drawn import REPORTING, UNSEEN, drawn
from field.ours import Counted
from field.problem import Problem, f64
from field.report import machine
from solvers import MODULES, measure, samplers, version

from demist.io.files import write_json, write_text
from demist.samplers import fit, sample

BUDGETS = (5, 8, 10, 15, 20, 40)
NUMBERS = [*REPORTING[:12], *REPORTING[24:32], *UNSEEN[:8]]
"""Twelve that were looked at while today's default was looked for, eight that were before its shift
was added, and eight first sampled when it stood: one of each kind in both."""
RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "solvers_best.json"
PEERS = [name for name in MODULES if name != "demist"]
STARTS, SEED = 256, 1
"""What the fit sees: so many starts, of noise with this seed; the problem's has others."""
ERRORS = ("rms", "median")


def of_peer(library: str, problem: Problem) -> dict[str, Any]:
    """Of each budget: the error of the default, and the best of all settings with its name."""
    found: dict[str, Any] = {}
    for budget in BUDGETS:
        rows = [measure(s, problem, budget) for s in samplers(library)]
        right = [r for r in rows if r is not None and math.isfinite(r.rms)]
        cell: dict[str, Any] = {"settings": len(rows)}
        for error in ERRORS:
            best = min(right, key=lambda r: float(getattr(r, error)))
            cell[error] = [getattr(best, error), best.method, best.settings]
            usual = [getattr(r, error) for r in right if r.default == "library"]
            cell[f"default {error}"] = usual[0] if usual else None
        found[str(budget)] = cell
    return found


def of_ours(problem: Problem) -> dict[str, Any]:
    """Of each budget: the error of the default, and of that of a fitted model."""
    (default,) = [s for s in samplers("demist") if s.default == "library"]
    schedule, d = problem.schedule, problem.z.shape[1]
    g = torch.Generator().manual_seed(SEED)
    top = schedule(torch.ones((), dtype=f64))[1]
    model = Counted(problem)
    began = time.process_time()
    fits = fit(model, top * torch.randn((STARTS, d), generator=g, dtype=f64), BUDGETS)
    seconds = round(time.process_time() - began, 1)
    found: dict[str, Any] = {"seconds of the fit": seconds}
    for budget in BUDGETS:
        row, way = measure(default, problem, budget), fits[budget]
        assert row is not None
        x = sample(model, top * problem.z, torch.tensor(way.times, dtype=f64), way.solver)
        rms, median = problem.errors(x)
        cell = {"rms": row.rms, "median": row.median, "fitted rms": rms, "fitted median": median}
        found[str(budget)] = {**cell, "solver": way.spec}
    return found


def ratios(kept: dict[str, Any], numbers: list[str], way: str, error: str, which: str) -> Any:
    """By problem and budget: the smallest error of a peer over ours."""
    ours = "fitted " * (way == "fitted")
    table = []
    for number in numbers:
        row = kept["problems"][number]
        line = []
        for budget in map(str, BUDGETS):
            cells = [row[library][budget] for library in PEERS]
            best = min(
                cell[error][0] if which == "best" else cell[f"default {error}"] or math.inf
                for cell in cells
            )
            line.append(best / row["demist"][budget][f"{ours}{error}"])
        table.append(line)
    return np.array(table)


def page(kept: dict[str, Any]) -> str:
    """All tables."""
    problems = sorted(kept["problems"].items(), key=lambda item: int(item[0]))
    numbers = [n for n, row in problems if {"demist", *PEERS} <= row.keys()]
    lines = ["# The default against the best setting of every peer", ""]
    lines += [*__doc__.splitlines()[4:], ""]
    lines += [f"{kept['machine']}. {len(numbers)} problems, {kept['samples']} samples each.", ""]
    lines += [
        "Each cell: error of the peer over that of demist, **median** over the problems (smallest "
        "to largest; problems on which demist's is smaller).",
        "",
    ]
    for error, title in zip(ERRORS, ("Root mean square error", "Median error"), strict=True):
        lines += [f"## {title}", "", f"| | {' | '.join(map(str, BUDGETS))} |"]
        lines += ["|---" * (len(BUDGETS) + 1) + "|"]
        for which in ("default", "best"):
            for way in ("as it is", "fitted"):
                found = ratios(kept, numbers, way, error, which)
                cells = [
                    f"**{np.median(c):.2g}** ({c.min():.2g} to {c.max():.2g}; "
                    f"{int((c > 1).sum())} of {len(c)})"
                    for c in found.T
                ]
                of = "the best default" if which == "default" else "the best setting"
                lines.append(f"| {of} of the peers over demist, {way} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["## Problem by problem, root mean square error", ""]
    lines += [f"| problem | | {' | '.join(map(str, BUDGETS))} |"]
    lines += ["|---" * (len(BUDGETS) + 2) + "|"]
    for number in numbers:
        row = kept["problems"][number]
        ours = [row["demist"][str(b)] for b in BUDGETS]
        of_peers = [
            min((row[p][str(b)]["rms"], p) for p in PEERS) for b in BUDGETS
        ]  # fmt: skip
        plain = [f"{c['rms']:.2g}" for c in ours]
        fitted = [f"{c['fitted rms']:.2g} {c['solver']}" for c in ours]
        best = [f"{v:.2g} {p}: {m.replace('Sampler', '')} ({s})" for (v, m, s), p in of_peers]
        for name, way, cells in (
            (row["name"], "default", plain), ("", "fitted", fitted), ("", "best peer", best),
        ):  # fmt: skip
            lines.append(f"| {name} | {way} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--numbers", nargs="+", type=int, default=NUMBERS)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--only", nargs="+", default=["ours", "peers"])
    parser.add_argument("--kept", type=Path, default=KEPT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for number in options.numbers:
        problem = drawn(number, options.samples)
        for library in [*(["demist"] if "ours" in options.only else []),
                        *(PEERS if "peers" in options.only else [])]:  # fmt: skip
            kept = json.loads(options.kept.read_text()) if options.kept.exists() else {}
            row = kept.setdefault("problems", {}).setdefault(str(number), {"name": problem.name})
            if library in row:
                continue
            began = time.process_time()
            found = of_ours(problem) if library == "demist" else of_peer(library, problem)
            kept = json.loads(options.kept.read_text()) if options.kept.exists() else kept
            row = kept.setdefault("problems", {}).setdefault(str(number), {"name": problem.name})
            row[library] = found
            kept |= {"machine": machine({name: version(name) for name in MODULES})}
            kept |= {"samples": options.samples}
            write_json(options.kept, kept)
            print(problem.name, library, f"{time.process_time() - began:.0f} s", flush=True)
            if all({"demist", *PEERS} <= r.keys() for r in kept["problems"].values()):
                write_text(options.kept.with_suffix(".md"), page(kept))


if __name__ == "__main__":
    main()
