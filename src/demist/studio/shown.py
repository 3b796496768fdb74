"""What the page shows of runs: from their folders alone, whoever made them and wherever."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from demist.errors import DemistError
from demist.io.untrusted import inside
from demist.runs import Run, all_runs, read_metrics, recent_loss, stages


def table(runs: Path) -> list[dict[str, Any]]:
    """One row for each run, newest first; what cannot be read is None."""
    return [row(run) for run in reversed(all_runs(runs)) if run.begun]


def row(run: Run) -> dict[str, Any]:
    """Number, name, state and the latest figures of a run."""
    status, rows, stage = dict[str, Any](), list[dict[str, Any]](), ""
    with suppress(DemistError, OSError):
        status = run.status()
        name = status.get("stage")
        stage = name if isinstance(name, str) and name in stages.names(run) else ""
    with suppress(DemistError, OSError):
        place = stages.stage(run, stage) if stage else run
        rows = read_metrics(inside(place.path, place.metrics.name))
    last = rows[-1] if rows else {}
    return {
        "id": run.path.name,
        "number": run.number,
        "name": run.name,
        "state": status.get("state"),
        "stage": stage or None,
        "step": status.get("step"),
        "progress": status.get("progress"),
        "seconds": status.get("seconds"),
        "images": status.get("images"),
        "updated": status.get("updated"),
        "loss": recent_loss(rows),
        "images_per_second": last.get("images_per_second"),
    }
