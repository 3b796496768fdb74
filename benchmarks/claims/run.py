"""Every claim put to the test by one command, which rewrites README.md and course/families.md.

    python benchmarks/claims/run.py [--mode fast|standard] [--only ddim modes ...] [--redraw]

What a program found stands in results.json with the mode, the date and the processor time. From
that file verdicts, figures and the page are made: `--only` renews some claims and keeps the others,
`--redraw` measures nothing.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import claim
import torch
import trained
from claim import HERE, SCALES

from demist.io import files
from demist.version import __version__

CLAIMS = (
    "ddim", "schedules", "guidance", "modes", "blur", "scores", "stability", "speed", "families",
)  # fmt: skip
NUMERALS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
RESULTS = HERE / "results.json"
PAGE = HERE.parents[1] / "course" / "families.md"
BEGIN, END = "<!-- measured: benchmarks/claims/run.py writes what follows -->", "<!-- measured -->"


def main() -> None:
    """Measure, record, and rewrite the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=SCALES, default="fast", help="how much work")
    parser.add_argument("--only", nargs="+", choices=CLAIMS, default=CLAIMS, help="some claims")
    parser.add_argument("--redraw", action="store_true", help="verdicts and figures anew, no work")
    parser.add_argument("--note", default="", help="about the machine, for the table")
    args = parser.parse_args()
    if args.mode == "smoke":
        claim.FIGURES = Path(tempfile.mkdtemp())
    for name in args.only:
        program = importlib.import_module(name)
        row = None if args.redraw else measured(program, args.mode, args.note)
        # Read after measuring: another process may have measured other claims in these hours.
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        if row is not None:
            found[name] = row
        if name not in found:
            continue
        numbers = numbers_of(name, json.loads(json.dumps(found)))
        verdict = program.judge(numbers)
        if hasattr(program, "draw"):
            claim.save(program.draw(numbers), name)
        print(f"{name}: {verdict.verdict}. {verdict.sentence} [{found[name]['cpu']} s]", flush=True)
        if args.mode != "smoke":
            files.write_json(RESULTS, found)
            files.write_text(HERE / "README.md", table(found))
            files.write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), found))


def measured(program: ModuleType, mode: str, note: str) -> dict:
    """What a program finds, and what that took."""
    wall, cpu = time.perf_counter(), time.process_time()
    numbers = program.measure(SCALES[mode])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "numbers": numbers, "mode": mode, "scale": asdict(SCALES[mode]), "note": note,
        "date": str(datetime.date.today()), "cpu": round(cpu), "wall": round(wall),
        "machine": machine(),
    }  # fmt: skip


def numbers_of(name: str, found: dict) -> dict:
    """What a claim is judged by: its own numbers, and of other claims those that it asks for."""
    gather = getattr(importlib.import_module(name), "gather", None)
    numbers = found[name]["numbers"]
    return gather(numbers, {k: row["numbers"] for k, row in found.items()}) if gather else numbers


def table(found: dict) -> str:
    """The table of claims, in Markdown, and below it what was measured of each."""
    standard = [name for name in CLAIMS if found.get(name, {}).get("mode") == "standard"]
    lines = [
        "# The field's claims, measured",
        "",
        "Small models on small data, on a processor: a claim that holds or fails here does so at "
        "this scale. The verdict follows from the numbers by the rule that stands with it. ± is "
        "the standard deviation over seeds, of independently trained models unless said otherwise; "
        "three to five seeds tell large differences from chance, not small ones. Models that are "
        "compared have equal numbers of parameters and get equal training work (parameters x "
        "samples x passes). In `standard` mode each was tuned with as many tries as the others; in "
        "`fast` mode each has one set of settings, and another may do better with others.",
        "",
        "| | claim | verdict |",
        "|---|---|---|",
    ]
    sections = []
    for numeral, name in zip(NUMERALS, CLAIMS, strict=True):
        program = importlib.import_module(name)
        row = found.get(name)
        if not row:
            lines.append(f"| {numeral} | [{program.CLAIM}]({name}.py) | not measured yet |")
            continue
        verdict = program.judge(numbers_of(name, found))
        lines.append(f"| {numeral} | [{program.CLAIM}]({name}.py) | **{verdict.verdict}** |")
        sections += [f"## {numeral}. {program.CLAIM}: {verdict.verdict}", "", verdict.sentence, ""]
        if (HERE / f"{name}.png").exists():
            sections += [f"![{program.CLAIM}]({name}.png)", ""]
        sections += [f"Rule: {program.RULE}.", ""]
    return "\n".join([*lines, "", *costs(found, standard), *tuning(), *sections]).rstrip() + "\n"


def page(text: str, found: dict) -> str:
    """The page on the families of models with what was measured of them between its two marks.

    Raises:
        ValueError: A mark is missing, or stands there twice.
    """
    if [text.count(mark) for mark in (BEGIN, END)] != [1, 1]:
        raise ValueError(f"{PAGE.name} needs the lines {BEGIN} and {END} once each, in this order")
    if "families" not in found:
        return text
    row, families = found["families"], importlib.import_module("families")
    made = (
        f"Measured on {row['date']}: {row['machine']}; {row['cpu'] / 60:.0f} minutes of processor "
        "time."
    )
    lines = [BEGIN, "", *families.report(numbers_of("families", found)), "", made, "", END]
    return text.partition(BEGIN)[0] + "\n".join(lines) + text.partition(END)[2]


def costs(found: dict, standard: list[str]) -> list[str]:
    """How to run it all, and what that cost."""
    lines = [
        "## Running it",
        "",
        "`python benchmarks/claims/run.py` measures everything anew and rewrites this page; with "
        "`--only ddim modes` some of it, with `--redraw` no more than verdicts and figures. It "
        "needs `pip install 'demist[plot]'`.",
        "",
        "| mode | seeds | training steps, digits | training steps, points | widths | samples | "
        "tries |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s.name} | {s.seeds} | {s.steps:,} | {s.toy_steps:,} | {s.width} and {s.toy_width} | "
        f"{s.samples:,} | {s.tries} |"
        for s in SCALES.values()
        if s.name != "smoke"
    ]
    lines += [
        "",
        "`--mode standard` takes some six hours of one core for all; what is trained is kept in "
        "`.trained`, so that it can be stopped, and two processes may measure different claims. "
        "Time for what was kept is not counted again. It was run for: "
        f"{', '.join(standard) or 'nothing here'}.",
        "",
        "| | mode | date | processor time | wall | machine |",
        "|---|---|---|---:|---:|---|",
    ]
    lines += [
        f"| {numeral} | {row['mode']} | {row['date']} | {row['cpu']} s | {row['wall']} s | "
        f"{row['machine']}{'; ' + row['note'] if row['note'] else ''} |"
        for numeral, name in zip(NUMERALS, CLAIMS, strict=True)
        if (row := found.get(name))
    ]
    total = sum(row["cpu"] for row in found.values())
    return [*lines, f"| all | | | {total} s | | |", ""]


def tuning() -> list[str]:
    """What each family was tuned to; nothing, if nothing was tuned."""
    known = json.loads(trained.TUNED.read_text()) if trained.TUNED.exists() else {}
    rows = [
        f"| {task} | {family} | {', '.join(f'{k} = {v}' for k, v in best['settings'].items())} | "
        f"{trained.said(best)} | {', '.join(trained.said(row) for row in others)} |"
        for mode in known.values()
        for task, families in mode.items()
        for family, tried in families.items()
        for best in [trained.lowest(tried)]
        for others in [sorted((r for r in tried if r is not best), key=trained.score_of)]
    ]
    if not rows:
        return []
    return [
        "Tried with a seed of its own and a quarter of the work; what had the lowest score was "
        "taken. The score is an FDr for digits, for stacked digits the KL of the modes' shares in "
        "nats, for points that and the share of stray ones.",
        "",
        "| data | family | best settings | score | scores of the others |",
        "|---|---|---|---:|---|",
        *rows,
        "",
    ]


def machine() -> str:
    """The processor and the libraries."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.processor(),
    )  # fmt: skip
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {torch.get_num_threads()} of {cores} cores, torch {torch.__version__}, "
        f"demist {__version__}"
    )


if __name__ == "__main__":
    main()
