"""What the page shows of runs: from their folders alone, whoever made them and wherever."""

from contextlib import suppress
from functools import lru_cache
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
    status, stage = dict[str, Any](), ""
    figures: tuple[float | None, Any] = (None, None)
    with suppress(DemistError, OSError):
        status = run.status()
        name = status.get("stage")
        stage = name if isinstance(name, str) and name in stages.names(run) else ""
    with suppress(DemistError, OSError):
        place = stages.stage(run, stage) if stage else run
        path = inside(place.path, place.metrics.name)
        stat = path.stat()
        figures = _figures(path, stat.st_mtime_ns, stat.st_size)
    loss, speed = figures
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
        "loss": loss,
        "images_per_second": speed,
    }


@lru_cache(maxsize=1024)
def _figures(path: Path, mtime: int, size: int) -> tuple[float | None, Any]:
    """Recent loss and latest speed of a file of metrics, which is read again once it has changed.

    Args:
        path: The file.
        mtime: When it was written, nanoseconds.
        size: Bytes.
    """
    rows = read_metrics(path)
    return recent_loss(rows), rows[-1].get("images_per_second") if rows else None
