"""Posterior samplers against exact posteriors: every method on eight problems drawn by code.

    PYTHONPATH=PEERS python benchmarks/posteriors.py [--out benchmarks/results] [--only pigdm,mmps]

Mixtures of Gaussians of 2 to 32 dimensions, some numbers of which are measured with noise, so that
denoiser and posterior are known in closed form; no method was tuned on them, except the step size
of DPS, which must be tuned for each problem: the one with the smallest distance on seeds of its own
is taken, and all are shown. Methods of azula and deepinv run beside, where they are installed. Rows
that were made are kept in `posteriors.json`, by machine and day, and not made again but with
`--again`; `posteriors.md` is written from all of them.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from field.posteriors import SCHEDULE, Counted, Known, f64, problems
from field.report import machine
from torch import Tensor

from demist.core import Seeded
from demist.inverse import METHODS, make_method
from demist.io.files import write_json, write_text
from demist.samplers import make_solver, smooth
from demist.version import __version__

STEPS, SAMPLES, SEEDS, TUNING = 32, 256, (0, 1, 2), 9
SCALES = (  # finer where the best of a problem lie
    0.05, 0.1, 0.141, 0.2, 0.283, 0.4, 0.566, 0.8, 1.13, 1.6, 2.26, 3.2, 6.4, 12.8,
)  # fmt: skip
MARKS = ("<!-- distances -->\n", "<!-- end of distances -->")
Run = Callable[[Known, Counted, Tensor, int], Tensor]
Row = dict[str, float]


def peers() -> dict[str, str]:
    """Versions of other libraries that are there."""
    there = [name for name in ("azula", "deepinv") if importlib.util.find_spec(name)]
    return {name: importlib.metadata.version(name) for name in there}


def contenders(steps: int) -> dict[str, Run]:
    """Samplers by name."""

    def ours(spec: str) -> Run:
        def run(known: Known, counted: Counted, z: Tensor, seed: int) -> Tensor:
            std = f"std={known.deviation:.4g}"
            full = f"{spec}:{std}" if spec in ("pigdm", "lgd") else spec
            *_, last = make_method(full).trajectory(
                counted, known.measurement, z, smooth(steps, SCHEDULE), make_solver("ddim:eta=1"),
                Seeded(range(seed * SAMPLES, (seed + 1) * SAMPLES)),
            )  # fmt: skip
            return last.x

        return run

    def draws(known: Known, counted: Counted, z: Tensor, seed: int) -> Tensor:
        return known.posterior.sample(len(z), torch.Generator().manual_seed(2000 + seed))

    def exact(known: Known, counted: Counted, z: Tensor, seed: int) -> Tensor:
        counted.distribution = known.posterior
        return ours("prior")(known, counted, z, seed)

    found: dict[str, Run] = {"exact draws": draws, "exact denoiser": exact}
    found |= {name: ours(name) for name in METHODS.names() if name != "dps"}
    found["pnpdm (inner 5)"] = ours("pnpdm:inner=5")
    found |= {f"dps:scale={scale:g}": ours(f"dps:scale={scale:g}") for scale in SCALES}
    if importlib.util.find_spec("azula"):
        from field import peer_azula_posteriors as azula

        for name, method in azula.methods(steps).items():
            found[name] = lambda known, counted, z, seed, method=method: method(known, counted, z)
    if importlib.util.find_spec("deepinv"):
        from field import peer_deepinv_posteriors as deepinv

        for name, method in deepinv.methods(steps).items():
            found[name] = lambda known, counted, z, seed, method=method: method(known, counted, z)
    return found


def measure(known: Known, run: Run, seed: int) -> Row:
    """One row: what `judge` says, and what it cost for each sample."""
    torch.manual_seed(seed)
    counted = Counted(known.prior)
    g = torch.Generator().manual_seed(seed)
    z = torch.randn((SAMPLES, known.matrix.shape[1]), generator=g, dtype=f64)
    begin = time.perf_counter()
    x = run(known, counted, z, seed)
    seconds = time.perf_counter() - begin
    cost = {"rows": counted.rows / SAMPLES, "gradients": counted.gradients / SAMPLES}
    found = {**known.judge(x, seed), **cost, "seconds": seconds}
    return {name: float(f"{value:.5g}") for name, value in found.items()}


def tuned(rows: dict[str, Row], method: str, problem: str) -> str:
    """The one of `method:...` that was nearest on the seed for tuning."""
    options = {key.split(" | ")[0] for key in rows if key.startswith(method + ":")}
    return min(options, key=lambda name: rows[f"{name} | {problem} | {TUNING}"]["w2"])


def table(rows: dict[str, Row]) -> list[str]:
    """Markdown: one line a method, over all problems; then the tuning of DPS."""
    names = sorted({key.split(" | ")[0] for key in rows})
    places = list(dict.fromkeys(key.split(" | ")[1] for key in rows))
    families = list(dict.fromkeys(n.split(":")[0] if ":" in n else n for n in names))
    lines = [
        "| method | distance | worst | modes | spread | misfit | evaluations | gradients | ms |",
        "| --- |" + " --- |" * 8,
    ]
    order = []
    for family in families:
        picked = {p: tuned(rows, family, p) if family not in names else family for p in places}

        def values(what: str, seed: int, picked: dict[str, str] = picked) -> list[float]:
            return [rows[f"{picked[p]} | {p} | {seed}"][what] for p in places]

        def mean(what: str, values: Callable[[str, int], list[float]] = values) -> list[float]:
            return [sum(values(what, s)) / len(places) for s in SEEDS]

        def middle(what: str, values: Callable[[str, int], list[float]] = values) -> list[float]:
            logs = [[math.log(max(v, 1e-9)) for v in values(what, s)] for s in SEEDS]
            return [math.exp(sum(row) / len(row)) for row in logs]

        distance = middle("w2")
        worst = max(max(values("w2", s)) for s in SEEDS)
        size = f"{worst:.2f}" if worst < 100 else f"{worst:.0e}"
        cells = [
            family + (" (tuned)" if family not in names else ""), _span(distance), size,
            _span(mean("modes")), _span(middle("spread")), _span(middle("misfit")),
            *(f"{sum(mean(c)) / len(SEEDS):.0f}" for c in ("rows", "gradients")),
            f"{sum(mean('seconds')) / len(SEEDS) / SAMPLES * 1e3:.1f}",
        ]  # fmt: skip
        order.append((sum(distance), "| " + " | ".join(cells) + " |"))
    lines += [line for _, line in sorted(order)]
    lines += ["", "## Total variation of the modes, problem by problem", ""]
    lines += ["| method | " + " | ".join(places) + " |", "| --- |" + " --- |" * len(places)]
    for family in families:
        cells = []
        for p in places:
            name = family if family in names else tuned(rows, family, p)
            each = [rows[f"{name} | {p} | {s}"]["modes"] for s in SEEDS]
            cells.append(f"{sum(each) / len(each):.2f}")
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    lines += ["", "## The step size of DPS", "", "Distance on the seed for tuning.", ""]
    lines += ["| | " + " | ".join(places) + " |", "| --- |" + " --- |" * len(places)]
    sizes = sorted((n for n in names if ":" in n), key=lambda n: float(n.split("=")[1]))
    for name in sorted(sizes, key=lambda n: n.split(":")[0]):
        cells = (f"{rows[f'{name} | {p} | {TUNING}']['w2']:.2f}" for p in places)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _span(values: list[float]) -> str:
    """Mean over seeds, and half of their range."""
    half = (max(values) - min(values)) / 2
    return f"{sum(values) / len(values):.2f} ± {half:.2f}"


WORDS = """\
Distance: sliced 2-Wasserstein to exact samples, in standard deviations of the posterior, geometric
mean over eight problems; its floor is the row "exact draws", what solver and steps add to it the
row "exact denoiser". Worst: the largest of a problem. Modes: total variation between the weights of
the modes and the true ones. Spread: median distance from the nearest mode, over that of exact
samples; below 1 too sure. Misfit: mean square of the residual over the noise's variance; exact
samples have the floor's. Evaluations and gradients: of the denoiser, for one sample; ms: for one
sample on one core that other work shared. ±: half of the range over three seeds."""


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--page", type=Path, help="a page whose table is written anew")
    parser.add_argument("--only", default="", help="methods by name, with commas")
    parser.add_argument("--again", action="store_true", help="make the rows of --only anew")
    args = parser.parse_args()
    torch.set_num_threads(1)
    file = args.out / "posteriors.json"
    kept: dict[str, dict[str, Row]] = json.loads(file.read_text()) if file.exists() else {}
    if args.again:
        old = args.only.split(",")
        kept = {
            where: {key: row for key, row in part.items() if key.split(" | ")[0] not in old}
            for where, part in kept.items()
        }
    rows = {key: row for part in kept.values() for key, row in part.items()}
    here = machine({"demist": __version__, **peers()})
    found = contenders(STEPS)
    chosen = [n for n in found if not args.only or n.split(":")[0] in args.only.split(",")]

    def fill(name: str, known: Known, seed: int) -> None:
        key = f"{name} | {known.name} | {seed}"
        if key not in rows:
            rows[key] = kept.setdefault(here, {})[key] = measure(known, found[name], seed)
            args.out.mkdir(parents=True, exist_ok=True)
            write_json(file, kept)

    for known in problems():
        for name in chosen:
            for seed in [TUNING] if ":" in name else SEEDS:
                fill(name, known, seed)
        for family in {name.split(":")[0] for name in chosen if ":" in name}:
            for seed in SEEDS:
                fill(tuned(rows, family, known.name), known, seed)
        print(known.name, flush=True)
    lines = table(rows)
    if args.page:
        text = args.page.read_text()
        begin, end = (text.index(mark) for mark in MARKS)
        short = lines[: lines.index("")]
        args.page.write_text(text[: begin + len(MARKS[0])] + "\n".join(["", *short, text[end:]]))
    head = [
        "# Posterior samplers",
        "",
        "`python benchmarks/posteriors.py`",
        "",
        *(f"- {where}: {len(part)} rows" for where, part in kept.items()),
        "",
        f"{SAMPLES} samples, {STEPS} steps of `ddim:eta=1` where the method lets a solver step. "
        + WORDS.replace("\n", " "),
        "",
    ]
    write_text(args.out / "posteriors.md", "\n".join(head + lines) + "\n")


if __name__ == "__main__":
    main()
