"""`demist list`: what can be named on the command line and in files, with its options."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from demist import recipes
from demist.commands.shared import read
from demist.errors import UsageError
from demist.parts import Family, Row, unknown

FAMILIES = {
    "schedules": ("core", "SCHEDULES", "Signal and noise over time: --schedule."),
    "parameterizations": ("core", "PARAMETERIZATIONS", "What the network predicts."),
    "clocks": ("core", "CLOCKS", "How the network sees the time: --clock."),
    "times": ("objectives", "TIMES", "Noise levels seen in training: --times."),
    "weights": ("objectives", "WEIGHTS", "Weights of the loss over noise levels: --weight."),
    "solvers": ("samplers", "SOLVERS", "How to go from noise to data: --solver."),
    "grids": ("samplers", "GRIDS", "Where the steps are: --time-grid."),
    "rules": ("guidance", "RULES", "How guidance leads: --guidance-rule."),
    "networks": ("networks", "NETWORKS", "What learns to denoise: --network."),
    "codecs": ("codecs", "CODECS", "What stands between data and state."),
    "metrics": ("evaluation.metrics", "METRICS", "What demist evaluate measures."),
    "readers": ("data.readers", "READERS", "Formats of data that are read."),
    "kinds": ("modalities", "MODALITIES", "Kinds of data: --kind."),
    "trackers": ("training.trackers", "TRACKERS", "Where metrics go as well: --log."),
    "conditions": ("conditions", "CONDITIONS", "What a model can be conditioned on."),
    "operators": ("inverse", "OPERATORS", "What was measured of damaged data: --operator."),
    "methods": ("inverse", "METHODS", "How the data behind it is drawn: --method."),
}
"""Kind -> package, name of its family there, and what it is."""
WIDTH = 100
"""Longest line of options, unless one alone is longer."""


@dataclass(frozen=True)
class Options:
    """List what there is by name: solvers, schedules, guidance rules, recipes, with options."""

    kind: Annotated[Positional[str | None], arg(metavar="[KIND]")] = None
    """What to list. Without it: the kinds."""


BESIDE = {
    "solvers": (
        Row("auto", "adams with the options that suit the number of steps: the default.", ()),
        Row("fitted", "Steps that `demist fit-solver` fitted to the model: auto takes them.", ()),
        Row(
            "published",
            "The sampler in the scheduler_config.json of a model from elsewhere, step for step.",
            ("eta=0.0 (number, of DDIM alone)",),
        ),
    ),
    "grids": (Row("published", "The times that the same file describes.", ()),),
}
"""What stands for a choice, or comes with a model, and no family holds."""


def main(args: list[str]) -> None:
    """Print the kinds, or the parts of one kind."""
    options = read(Options, "list", args)
    for line in lines(table(options.kind)):
        print(line)


def table(kind: str | None) -> list[Row]:
    """The rows to print.

    Raises:
        UsageError: There is no such kind.
    """
    if kind is None:
        kinds = {name: line for name, (_, _, line) in FAMILIES.items()}
        kinds["recipes"] = "Runs that anyone can repeat: --recipe."
        return [Row(name, line, ()) for name, line in kinds.items()]
    if kind == "recipes":
        return [Row(name, recipes.find(name).summary, ()) for name in recipes.names()]
    return sorted([*family(kind).rows(), *BESIDE.get(kind, ())], key=lambda row: row.name)


def family(kind: str) -> Family[object]:
    """The family of a kind of parts, such as `"solvers"`.

    Raises:
        UsageError: There is no such kind.
    """
    if kind not in FAMILIES:
        raise UsageError(unknown("kind", kind, [*FAMILIES, "recipes"]))
    package, name, _ = FAMILIES[kind]
    found: Family[object] = getattr(importlib.import_module(f"demist.{package}"), name)
    return found


def lines(rows: Iterable[Row]) -> Iterable[str]:
    """Two columns: the name, and beside it what it is and its options."""
    rows = list(rows)
    width = max(len(row.name) for row in rows) + 2
    for row in rows:
        yield f"{row.name:<{width}}{row.line}"
        line = ""
        for option in row.options:
            if line and width + len(line) + len(option) > WIDTH:
                yield " " * width + line.rstrip()
                line = ""
            line += option + ("" if option is row.options[-1] else ", ")
        if line:
            yield " " * width + line
