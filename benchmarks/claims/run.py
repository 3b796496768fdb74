"""Every claim put to the test by one command, which rewrites the table README.md.

    python benchmarks/claims/run.py [--mode fast|full] [--only ddim modes ...]

`fast` takes minutes on two quiet cores, `full` hours. What a program found stands in results.json
with the mode, the date and the processor time; the table is made from that file, so `--only`
renews some rows and keeps the others.
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

import claim
import torch
from claim import HERE, SCALES

from demist import __version__, files

CLAIMS = ("ddim", "schedules", "guidance", "modes", "blur", "scores", "stability", "speed")
NUMERALS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")
RESULTS = HERE / "results.json"


def main() -> None:
    """Measure, record, and rewrite the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=SCALES, default="fast", help="how much work")
    parser.add_argument("--only", nargs="+", choices=CLAIMS, default=CLAIMS, help="some claims")
    parser.add_argument("--note", default="", help="about the machine, for the table")
    args = parser.parse_args()
    if args.mode == "smoke":
        claim.FIGURES = Path(tempfile.mkdtemp())
    for name in args.only:
        wall, cpu = time.perf_counter(), time.process_time()
        result = importlib.import_module(name).measure(SCALES[args.mode])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(
            f"{name}: {result.verdict}. {result.sentence} [{cpu:.0f} s, wall {wall:.0f} s]",
            flush=True,
        )
        if args.mode == "smoke":
            continue
        found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        found[name] = asdict(result) | {
            "mode": args.mode, "scale": asdict(SCALES[args.mode]), "note": args.note,
            "date": str(datetime.date.today()), "cpu": round(cpu), "wall": round(wall),
            "machine": machine(),
        }  # fmt: skip
        files.write_json(RESULTS, found)
        files.write_text(HERE / "README.md", table(found))


def table(found: dict) -> str:
    """The table of claims, in Markdown."""
    lines = [
        "# The field's claims, measured",
        "",
        "Made by `python benchmarks/claims/run.py` (see there for `--mode full` and `--only`); the "
        "verdict follows from the numbers by a rule in each program, and ± is the standard "
        "deviation over independently trained models. Small models on small data: a claim that "
        "holds or fails here does so at this scale.",
        "",
        "| | claim | verdict | what was measured |",
        "|---|---|---|---|",
    ]
    for numeral, name in zip(NUMERALS, CLAIMS, strict=True):
        if row := found.get(name):
            link = f"[{row['claim']}]({name}.py)"
            lines.append(f"| {numeral} | {link} | **{row['verdict']}** | {row['sentence']} |")
        else:
            lines.append(f"| {numeral} | [{name}.py]({name}.py) | not measured yet | |")
    lines += [
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
    lines += [""]
    for name in CLAIMS:
        if (row := found.get(name)) and (HERE / row["figure"]).exists():
            lines += [f"## {row['claim']}", "", f"![{row['claim']}]({row['figure']})", ""]
    return "\n".join(lines)


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
