"""`demist ls`: the runs there are."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demist.commands.shared import read
from demist.errors import DemistError, MissingError
from demist.io.untrusted import inside
from demist.runs import Run, all_runs, read_metrics, recent_loss, stages


@dataclass(frozen=True)
class Options:
    """List the runs: number, name, status, step, loss, age, path."""

    runs: Path = Path("runs")
    """Folder in which run folders are."""


HEAD = ("run", "name", "status", "step", "loss", "age", "path")


def main(args: list[str]) -> None:
    """Print a table, oldest run first."""
    options = read(Options, "ls", args)
    if not options.runs.is_dir() and options.runs != Options.runs:
        raise MissingError(f"there is no folder {options.runs}; `demist train` makes runs")
    rows = [describe(run) for run in all_runs(options.runs)]
    if not rows:
        print(f"No runs in {options.runs} yet; `demist train` makes one.")
        return
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    for row in (HEAD, *rows):
        cells = [
            cell.rjust(width) if name in ("run", "step", "loss", "age") else cell.ljust(width)
            for name, cell, width in zip(HEAD, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def describe(run: Run) -> tuple[str, ...]:
    """One row of the table; what cannot be read is shown as a dash."""
    status, rows, stage = dict[str, Any](), list[dict[str, Any]](), ""
    with suppress(DemistError, OSError):
        status = run.status()
    with suppress(DemistError, OSError):
        place = stages.stage(run, stage) if (stage := stage_of(run, status)) else run
        rows = read_metrics(inside(place.path, place.metrics.name))
    loss = recent_loss(rows)
    return (
        str(run.number),
        run.path.name.partition("-")[2],
        f"{status.get('state', '-')}{f' ({stage})' if stage else ''}",
        str(status.get("step", "-")),
        "-" if loss is None else f"{loss:.4g}",
        age(status.get("updated")),
        str(run.path),
    )


def stage_of(run: Run, status: dict[str, Any]) -> str:
    """The stage that a run is at, before its last; empty for most."""
    name = status.get("stage")
    return name if isinstance(name, str) and name in stages.names(run) else ""


def age(stamp: str | None, now: datetime | None = None) -> str:
    """`3h` for an ISO time three hours ago: the largest unit that fits, rounded down."""
    if stamp is None:
        return "-"
    try:
        then = datetime.fromisoformat(stamp)
    except ValueError:
        return "-"
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - then).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"
