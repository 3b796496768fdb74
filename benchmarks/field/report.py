"""Rows to a table for people, a plot, and a file for programs."""

import csv
import dataclasses
import datetime
import gzip
import math
import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from field.problem import label


@dataclass(frozen=True)
class Row:
    """One sampler at one budget on one problem; errors in data standard deviations."""

    problem: str
    library: str
    method: str
    settings: str
    default: str
    budget: int
    steps: int
    nfe: int
    rms: float
    median: float
    seconds: float
    trouble: str

    @property
    def label(self) -> str:
        """Method and settings, shortened."""
        return label(self.method, self.settings)


def finite(value: float) -> float:
    """NaN counts as infinitely bad."""
    return math.inf if math.isnan(value) else value


def save(rows: Iterable[Row], path: Path) -> None:
    """All rows as compressed CSV."""
    names = [f.name for f in dataclasses.fields(Row)]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with gzip.open(temporary, "wt", newline="") as file:
        table = csv.writer(file)
        table.writerow(names)
        for row in rows:
            values = dataclasses.astuple(row)
            table.writerow(f"{v:.5g}" if isinstance(v, float) else v for v in values)
    temporary.replace(path)


def load(path: Path) -> list[Row]:
    """The rows that `save` wrote."""
    kinds = {f.name: f.type for f in dataclasses.fields(Row)}
    with gzip.open(path, "rt", newline="") as file:
        return [Row(**{k: kinds[k](v) for k, v in row.items()}) for row in csv.DictReader(file)]  # type: ignore[operator]


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def machine(versions: dict[str, str]) -> str:
    """One line about where and when."""
    cores = len(os.sched_getaffinity(0))
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{_cpu()}, {cores} cores; Python {platform.python_version()}, torch {torch.__version__}; "
        + f"{libraries}; " * bool(libraries)
        + f"{datetime.date.today()}"
    )


Choice = Callable[[Row], bool]


def of(library: str, *marks: str) -> Choice:
    """Rows of a library; of its defaults alone if `marks` says which."""
    return lambda row: row.library == library and (not marks or row.default in marks)


def others(*marks: str) -> Choice:
    """Rows of the peers, likewise."""
    return lambda row: row.library != "demist" and (not marks or row.default in marks)


@dataclass(frozen=True)
class Panel:
    """The rows of one problem, seen through one measure of error: `rms` or `median`."""

    problem: str
    rows: list[Row]
    by: str

    @property
    def title(self) -> str:
        """Heading."""
        return f"{self.problem}, {'root mean square' if self.by == 'rms' else 'median'} error"

    @property
    def budgets(self) -> list[int]:
        """All, rising."""
        return sorted({row.budget for row in self.rows})

    def error(self, row: Row) -> float:
        """NaN counts as infinitely bad."""
        return finite(getattr(row, self.by))

    def best(self, budget: int, choice: Choice) -> Row | None:
        """The most accurate row that fits."""
        fit = (row for row in self.rows if row.budget == budget and choice(row))
        return min(fit, key=self.error, default=None)

    def settings(self, choice: Choice) -> list[str]:
        """The best error and what gave it, for every budget."""
        rows = (self.best(budget, choice) for budget in self.budgets)
        return ["-" if row is None else f"{self.error(row):.2e} {row.label}" for row in rows]

    def ratios(self, theirs: Choice, ours: Choice) -> list[str]:
        """How many times the best of `ours` the error of the best of `theirs` is."""
        cells = []
        for budget in self.budgets:
            t, o = self.best(budget, theirs), self.best(budget, ours)
            cells.append(f"{self.error(t) / self.error(o):.2f}" if t and o else "-")
        return cells

    def tables(self, libraries: list[str]) -> list[str]:
        """Best settings, defaults and ratios."""
        demist, default = of("demist"), of("demist", "library")
        all_defaults = ("library", "class")
        return [
            f"## {self.title}",
            "",
            *_grid(["best setting", *self.budgets], [(n, self.settings(of(n))) for n in libraries]),
            *_grid(
                ["default", *self.budgets],
                [
                    *((f"{n}: the library's", self.settings(of(n, "library"))) for n in libraries),
                    *(
                        (f"{n}: best method's", self.settings(of(n, *all_defaults)))
                        for n in libraries
                    ),
                ],
            ),
            *_grid(
                ["error, peers / demist", *self.budgets],
                [
                    ("best peer setting / best of demist", self.ratios(others(), demist)),
                    (
                        "best peer setting / best of demist's methods with no options",
                        self.ratios(others(), of("demist", *all_defaults)),
                    ),
                    ("best peer setting / demist's default", self.ratios(others(), default)),
                    (
                        "best default method of a peer / demist's default",
                        self.ratios(others(*all_defaults), default),
                    ),
                    (
                        "best library default of a peer / demist's default",
                        self.ratios(others("library"), default),
                    ),
                ],
            ),
        ]

    def orders(self) -> list[str]:
        """Orders measured between the two largest budgets."""
        low, high = self.budgets[-2:]
        after = {(row.library, row.label): row for row in self.rows if row.budget == high}
        lines = []
        for row in self.rows:
            end = after.get((row.library, row.label))
            if row.budget != low or not row.default or end is None:
                continue
            if not 0 < self.error(row) < math.inf or not 0 < self.error(end) < math.inf:
                continue
            order = math.log(self.error(row) / self.error(end)) / math.log(end.nfe / row.nfe)
            name = f"{row.library}: {row.label}"
            lines.append((name, [f"{order:.2f}", f"{self.error(end):.1e}"]))
        head = [
            f"{self.title}: defaults",
            f"order, {low} to {high} evaluations",
            f"error at {high}",
        ]
        return _grid(head, lines)


def _grid(head: list[object], lines: Iterable[tuple[str, list[str]]]) -> list[str]:
    """A Markdown table."""
    body = [head, ["---"] * len(head), *([name, *cells] for name, cells in lines)]
    return [*("| " + " | ".join(map(str, row)) + " |" for row in body), ""]


def panels(rows: list[Row]) -> list[Panel]:
    """Every problem by both measures."""
    return [
        Panel(problem, [row for row in rows if row.problem == problem], by)
        for problem in dict.fromkeys(row.problem for row in rows)
        for by in ("rms", "median")
    ]


def markdown(rows: list[Row], versions: dict[str, str]) -> str:
    """The tables."""
    libraries = [name for name in versions if any(row.library == name for row in rows)]
    tried = {n: len({row.label for row in rows if row.library == n}) for n in libraries}
    text = [
        "# Solvers against the field",
        "",
        f"`python benchmarks/solvers.py`; last measured: {machine(versions)}; rows of libraries "
        "that were left out then (`--only`) are older.",
        "",
        "Error of the samples against the float64 solution of the probability-flow ODE from the "
        "same start noise, in data standard deviations, with at most so many network evaluations. "
        "Every library gets the same exact denoiser through its own interface (the problems are "
        "written down in `benchmarks/field/problem.py`). Settings tried: "
        + ", ".join(f"{name} {count}" for name, count in tried.items())
        + ". At 80 and 160, of the peers only the defaults and the leaders at 20 and 40 ran. "
        "Errors do not depend on the run: rows of several (`--only`, `--missing`) are merged. The "
        "root mean square is ruled by the few samples that end in another component of the "
        "mixture than the true solution does; the median is not.",
        "",
    ]
    for panel in panels(rows):
        text += panel.tables(libraries)
    text += ["## Measured orders", ""]
    for panel in panels(rows):
        if panel.by == "median":
            text += panel.orders()
    return "\n".join([*text, *_troubles(rows)])


def _troubles(rows: list[Row]) -> list[str]:
    """What raised, or gave NaN, somewhere."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        what = row.trouble or ("NaN" if math.isnan(row.rms) else "")
        if what:
            where = f"{row.settings or 'default'} at {row.budget}"
            found.setdefault((row.library, row.method, what), []).append(where)
    lines = [(k[0], [k[1], k[2], len(where), where[0]]) for k, where in sorted(found.items())]
    head = ["library", "method", "what", "rows", "for example"]
    return ["## What failed", "", *_grid(head, lines)]


def plot(rows: list[Row], path: Path) -> None:
    """Error against evaluations: the best setting of each library (line) and its default (dots)."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    every = panels(rows)
    libraries = list(dict.fromkeys(row.library for row in rows))
    fig, axes = plt.subplots(len(every) // 2, 2, figsize=(10.4, 3.8 * (len(every) // 2)))
    for panel, ax in zip(every, axes.flat, strict=True):
        for k, library in enumerate(libraries):
            for choice, style, name in (
                (of(library), "-", "best setting"),
                (of(library, "library"), "o:", "default"),
            ):
                found = [(b, panel.best(b, choice)) for b in panel.budgets]
                points = [(b, panel.error(row)) for b, row in found if row]
                ax.loglog(
                    *zip(*points, strict=True), style, color=f"C{k}", label=f"{library}, {name}"
                )
        ax.set_xticks(panel.budgets, [str(b) for b in panel.budgets])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.set(title=panel.title, xlabel="network evaluations", ylabel="error / data std")
    axes.flat[0].legend(fontsize=7)
    fig.tight_layout()
    fig.savefig(path, dpi=130)
    plt.close(fig)


def write(rows: list[Row], folder: Path, versions: dict[str, str]) -> None:
    """All files."""
    (folder / "solvers.md").write_text(markdown(rows, versions))
    plot(rows, folder / "solvers.png")


def write_overhead(
    medians: dict[tuple[str, str], float], folder: Path, versions: dict[str, str]
) -> None:
    """The table of `overhead.measure`."""
    libraries = list(dict.fromkeys(library for _, library in medians))
    methods = dict.fromkeys(method for method, _ in medians)
    lines = [
        (m, [f"{medians[m, n]:.3f}" if (m, n) in medians else "-" for n in libraries])
        for m in methods
    ]
    text = [
        "# What sampling adds to the network's own time",
        "",
        f"`python benchmarks/solvers.py --overhead`; {machine(versions)}.",
        "",
        "Milliseconds per step, state of 16x3x32x32 in float32, one thread, a network that returns "
        "a constant; medians over turns that the libraries take one after the other. Each library "
        "reads the network through its own wrapper (scaling, time, parameterization); demist and "
        "k-diffusion also without one, as a function that is already in their coordinates. A step "
        "of Heun's method has two evaluations.",
        "",
        *_grid(["ms per step", *libraries], lines),
    ]
    (folder / "solvers_overhead.md").write_text("\n".join(text))


if __name__ == "__main__":  # python -m field.report FOLDER: tables again from recorded rows
    where = Path(sys.argv[1])
    recorded = load(where / "solvers.csv.gz")
    print(markdown(recorded, dict.fromkeys(dict.fromkeys(r.library for r in recorded), "")))
