"""Images per second and FLOP/s of one full optimizer step: demist and its peers.

    python benchmarks/training.py [--size 0.5M 6M 35M] [--channels 1 3] [--precision fp32 bf16]
                                  [--only NAME ...] [--batch 64] [--threads 1] [--rounds 7]

A step is forward, backward, optimizer and averaged weights, each library as in its own training
example (`training_contenders.py`). Within a size and shape, all contenders and precisions, and the
references in each precision, take turns, so that a busy moment of the machine hits all of them; the
tables hold medians over rounds. There are two references, a large matrix product and a large
convolution, for different libraries compute them and the product alone is not always what a machine
can do: where torch multiplies float32 matrices by MKL, an AMD processor may get less than half of
what its convolutions reach. The peak is the faster of the two. FLOPs are those that torch counts in
forward and backward (convolutions and matrix products); what an optimizer multiplies is not.
With one thread, time is the processor's; with more, the wall's. All run in one process and so under
the same memory settings. Cells measured now replace the recorded ones of the same name. Writes
`training.json` and `training.md`. `benchmarks/peers.txt` says how to install the peers; those that
are missing are left out and said so.
"""

import argparse
import datetime
import gc
import json
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from quality.report import cpu
from torch.utils.flop_counter import FlopCounterMode
from training_contenders import CONTENDERS

from demist.io.files import write_json, write_text

SIZES = ("0.5M", "6M", "35M")
BATCH = {"0.5M": 64, "6M": 64, "35M": 16}
PRODUCT, CONVOLUTION = "matrix product", "convolution"
REFERENCES, SQUARE, WIDE = (PRODUCT, CONVOLUTION), 2048, 256
Row = dict[str, Any]


class Case(NamedTuple):
    """Something to time: `work` is called once per round."""

    name: str
    precision: str
    parameters: int
    flops: float
    work: Callable[[], object]


def clock() -> Callable[[], float]:
    """Processor seconds for one thread, which other programs disturb less; else the wall's."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def measure(cases: list[Case], rounds: int) -> list[float]:
    """Median seconds of each case over `rounds` in which they take turns, after one to warm up."""
    now, seen = clock(), [[] for _ in cases]
    for turn in range(rounds + 1):
        for case, times in zip(cases, seen, strict=True):
            begun = now()
            case.work()
            if turn:
                times.append(now() - begun)
    return [median(times) for times in seen]


def references(precisions: Iterable[str]) -> list[Case]:
    """A large product and a large convolution: as fast as this machine multiplies."""
    out = []
    for precision in precisions:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(SQUARE, SQUARE).to(dtype) for _ in range(2))
        x = torch.randn(16, WIDE, 32, 32).to(dtype).contiguous(memory_format=torch.channels_last)
        w = torch.randn(WIDE, WIDE, 3, 3).to(dtype)

        def convolve(x=x, w=w) -> torch.Tensor:
            return F.conv2d(x, w, padding=1)

        work = 2 * 9 * WIDE**2 * x[:, 0].numel()
        out.append(Case(PRODUCT, precision, 0, 2 * SQUARE**3, lambda a=a, b=b: a @ b.T))
        out.append(Case(CONVOLUTION, precision, 0, work, convolve))
    return out


def steps(name: str, size: str, shape: tuple[int, int, int], batch: int, precisions: list[str]):
    """The steps of one library in each precision; none, with a sentence, if it is missing."""
    try:
        made = CONTENDERS[name](size, shape, batch)
    except ImportError as error:
        print(f"{name} is left out: {error.name} is not installed; see benchmarks/peers.txt")
        return
    parameters = sum(p.numel() for p in made.net.parameters() if p.requires_grad)
    for precision in precisions:
        low = precision == "bf16"
        with FlopCounterMode(display=False) as counter:
            made.gradient(low)
        made.net.zero_grad()
        flops = counter.get_total_flops()
        yield Case(name, precision, parameters, flops, lambda low=low: made.step(low))


def cell(
    size: str, channels: int, batch: int, names: list[str], precisions: list[str], rounds: int
) -> list[Row]:
    """All contenders at one size and shape; a row for each and each precision."""
    shape = (channels, 32, 32)
    torch.manual_seed(0)
    cases = references(precisions)
    for name in names:
        cases += steps(name, size, shape, batch, precisions)
    rows = []
    for case, seconds in zip(cases, measure(cases, rounds), strict=True):
        rows.append(
            {
                "size": size,
                "shape": "x".join(map(str, shape)),
                "contender": case.name,
                "precision": case.precision,
                "batch": batch if case.parameters else None,
                "parameters": case.parameters,
                "flops": case.flops,
                "seconds": seconds,
                "threads": torch.get_num_threads(),
                "rounds": rounds,
                "date": str(datetime.date.today()),
                "command": " ".join(["python", "benchmarks/training.py", *sys.argv[1:]]),
                "machine": cpu(),
                "versions": installed(names),
            }
        )
    gc.collect()
    return rows


def installed(names: list[str]) -> str:
    """Versions of torch and of the libraries that are there."""
    found = [f"torch {torch.__version__}"]
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            if name == "demist":
                import demist

                found.append(f"demist {demist.__version__}")
    return ", ".join(found)


def table(rows: list[Row]) -> list[str]:
    """One cell: a line per contender and precision."""
    reference: dict[str, dict[str, float]] = {}
    speed: dict[tuple[str, str], float] = {}
    for r in rows:
        if r["contender"] in REFERENCES:
            achieved = reference.setdefault(r["precision"], {})
            achieved[r["contender"]] = r["flops"] / r["seconds"]
        else:
            speed[r["contender"], r["precision"]] = r["batch"] / r["seconds"]
    out = [
        "| | precision | M parameters | GFLOP/image | images/s | over diffusers | GFLOP/s "
        "| % of product | % of peak |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in rows:
        achieved, name, precision = r["flops"] / r["seconds"], r["contender"], r["precision"]
        numbers = ["", "", "", "", f"{achieved / 1e9:.0f}", "", ""]
        if name not in REFERENCES:
            base, here = speed.get(("diffusers", precision)), speed[name, precision]
            known = reference[precision]
            numbers = [
                f"{r['parameters'] / 1e6:.2f}",
                f"{r['flops'] / r['batch'] / 1e9:.2f}",
                f"{here:.1f}",
                f"{here / base:.2f}" if base else "-",
                f"{achieved / 1e9:.0f}",
                f"{100 * achieved / known[PRODUCT]:.0f}",
                f"{100 * achieved / max(known.values()):.0f}",
            ]
        out.append("| " + " | ".join([name, precision, *numbers]) + " |")
    return out


def document(rows: list[Row]) -> str:
    """All recorded cells in Markdown."""
    text = [
        "# Speed of training",
        "",
        "One full optimizer step (forward, backward, optimizer, averaged weights), each library as "
        "in its own example. GFLOP/image and GFLOP/s: what torch counts in forward and backward. "
        f"Product: of two {SQUARE} x {SQUARE} matrices in the same precision. Peak: the faster of "
        f"that and a 3x3 convolution of {WIDE} channels, which another library computes. Medians "
        "over rounds in which all rows of a table take turns; time is the processor's with one "
        "thread, the wall's with more.",
    ]
    cells = dict.fromkeys((r["size"], r["shape"], r["threads"]) for r in rows)
    for size, shape, threads in sorted(cells, key=lambda c: (SIZES.index(c[0]), c[1:])):
        here = [r for r in rows if (r["size"], r["shape"], r["threads"]) == (size, shape, threads)]
        batch = next((r["batch"] for r in here if r["batch"]), 0)
        facts = {k: here[0][k] for k in ("command", "machine", "versions", "date", "rounds")}
        text += [
            "",
            f"## About {size} parameters, {shape}, batch {batch}, {threads} "
            f"thread{'s' if threads > 1 else ''}",
            "",
            f"`{facts['command']}`; {facts['machine']}; {facts['versions']}; {facts['date']}; "
            f"{facts['rounds']} rounds.",
            "",
            *table(here),
        ]
    return "\n".join(text) + "\n"


def main() -> None:
    """Measure the cells that are asked for, and write all that are known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--channels", nargs="+", type=int, choices=(1, 3), default=[1, 3])
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"))
    parser.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--batch", type=int, help=f"default: by size, {BATCH}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    book = options.out / "training.json"
    for size in options.size:
        for channels in options.channels:
            batch = options.batch or BATCH[size]
            precisions = options.precision or ["fp32", "bf16"]
            rows = cell(size, channels, batch, options.only, precisions, options.rounds)
            print(
                f"\n{size} {channels}x32x32, batch {batch}\n" + "\n".join(table(rows)), flush=True
            )
            cell_of = (size, f"{channels}x32x32", options.threads)
            kept = json.loads(book.read_text()) if book.exists() else []
            kept = [r for r in kept if (r["size"], r["shape"], r["threads"]) != cell_of]
            write_json(book, kept + rows)
    write_text(options.out / "training.md", document(json.loads(book.read_text())))


if __name__ == "__main__":
    main()
