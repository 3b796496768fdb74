"""The table and the figure of `time_to_quality.py`."""

import os
import platform
import re
from pathlib import Path
from typing import Any

from demist.io.files import atomic, write_text

Row = dict[str, Any]


def cpu() -> str:
    """Name of the processor and how many cores there are."""
    name = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        found = re.search(r"^model name\s*: (.*)", info.read_text(), re.MULTILINE)
        name = found[1] if found else name
    return f"{name}, {os.cpu_count()} cores"


SAME = ("data", "contender", "recipe", "budget", "mark", "machine")
"""What rows have in common that are of several seeds."""


def over_seeds(rows: list[Row]) -> list[Row]:
    """A row for all seeds, with means, and lists `fdrs` and `accuracies` of what they are of."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda r: (*(r[key] for key in SAME), r["seed"])):
        groups.setdefault(tuple(row[key] for key in SAME), []).append(row)
    out = []
    for group in groups.values():
        means = {
            key: sum(row[key] for row in group) / len(group)
            for key in ("fdr", "accuracy", "step", "images")
        }
        lists = {"fdrs": [r["fdr"] for r in group], "accuracies": [r["accuracy"] for r in group]}
        seeds = {"seeds": [r["seed"] for r in group], "samplers": [r["sampler"] for r in group]}
        out.append(group[-1] | means | lists | seeds)
    return out


def spread(values: list[float], digits: int = 2) -> str:
    """Mean, and the range of several."""
    mean = f"{sum(values) / len(values):.{digits}f}"
    many = f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return mean + many * (len(values) > 1)


def curves(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by the line that they lie on: a run, or the ends of runs of different length."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda r: (r["data"], r["contender"], r["budget"], r["mark"])):
        name = f"{row['data']}: {row['contender']}, one run of {row['budget']:g} s"
        found.setdefault(name, []).append(row)
        if row["mark"] == row["budget"]:
            found.setdefault(f"{row['data']}: {row['contender']}, ends of runs", []).append(row)
    return {name: line for name, line in found.items() if len(line) > 1}


def write(rows: list[Row], folder: Path) -> None:
    """`time_to_quality.md` and, if there is anything to draw, `time_to_quality.png`."""
    tried = {f"{r['data']}, {r['contender']}, {r['budget']:g} s": r["scores"] for r in rows}
    rows = over_seeds(rows)
    titles = (
        "data", "contender", "recipe", "parameters", "run of, s", "at, CPU s", "seeds", "steps",
        "images", "sampler", "FDr", "label accuracy %",
    )  # fmt: skip
    lines = [
        (
            r["data"], r["contender"], r["recipe"], f"{r['parameters']:,}", f"{r['budget']:g}",
            f"{r['mark']:g}", ", ".join(map(str, r["seeds"])), f"{r['step']:,.0f}",
            f"{r['images']:,.0f}", " / ".join(dict.fromkeys(r["samplers"])), spread(r["fdrs"]),
            spread([100 * a for a in r["accuracies"]]),
        )
        for r in rows
    ]  # fmt: skip
    facts = sorted(
        {
            f"{r['data']}, {r['contender']}: {r['machine']}, {r['threads']} thread(s); "
            f"{r['version']}, torch {r['torch']}; {r['date']}"
            for r in rows
        }
    )
    sample = rows[0] if rows else {"n": 0, "evaluations": 0}
    text = [
        "# Quality against processor time of training",
        "",
        "`python benchmarks/time_to_quality.py --contender NAME --budget SECONDS --seeds ...`; "
        "mnist: 60,000 training images; cifar10-jpeg: CIFAR-10 from JPEG files, 50,000.",
        *(f"- {fact}" for fact in facts),
        "",
        f"{sample['n']:,} unguided samples, as many of every class, {sample['evaluations']} "
        "network evaluations each. FDr: Fréchet distance to the training images over that of the "
        "10,000 test images, in the features of demist's judge of this data (1 is as good as "
        "held-out images). "
        "Seconds are processor time of the training loop. Rows of one run share its learning-rate "
        "schedule, which ends at the run's length.",
        "",
        "| " + " | ".join(titles) + " |",
        "|" + "|".join("---" if t in ("data", "contender", "recipe", "sampler")
                       else "---:" for t in titles)
        + "|",
        *("| " + " | ".join(line) + " |" for line in lines),
    ]  # fmt: skip
    for name, scores in tried.items():
        shown = "; ".join(f"{sampler} {fdr:.1f}" for sampler, fdr in scores.items())
        text += ["", f"Samplers tried at the end of {name} (FDr of a thousand samples, biased "
                 f"upwards): {shown}."]  # fmt: skip
    write_text(folder / "time_to_quality.md", "\n".join(text) + "\n")
    if found := curves(rows):
        draw(found, folder / "time_to_quality.png")


def draw(found: dict[str, list[Row]], path: Path) -> None:
    """FDr and the share of wrong labels against processor seconds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for name, line in found.items():
        style = "o-" if name.endswith("ends of runs") else "o--"
        seconds = [r["mark"] for r in line]
        axes[0].plot(seconds, [r["fdr"] for r in line], style, markersize=4, label=name)
        wrong = [100 * (1 - r["accuracy"]) for r in line]
        axes[1].plot(seconds, wrong, style, markersize=4, label=name)
    titles = ("FDr (1: held-out images)", "labels not recognised, %")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel="processor seconds of training", xscale="log", yscale="log")
        axis.grid(alpha=0.3, which="both")
    axes[0].legend(fontsize=7)
    figure.tight_layout()
    with atomic(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
