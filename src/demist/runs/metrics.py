"""metrics.jsonl and skipped.jsonl of a run: one JSON object per line, only ever appended to."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demist.errors import MissingError
from demist.io import files
from demist.runs.run import Run

LEVELS = (
    -15.0,
    -10.0,
    -8.0,
    -6.5,
    -5.0,
    -4.0,
    -3.0,
    -2.0,
    -1.0,
    0.0,
    1.0,
    2.0,
    3.0,
    4.0,
    5.0,
    6.5,
    8.0,
    10.0,
    15.0,
)
"""Log-SNRs between which `loss_by_level` of metrics.jsonl has one loss each, the noisiest first."""
MOST = 2**30
"""Bytes; no file of metrics is longer."""


class MetricsLog:
    """Appends to metrics.jsonl, flushing every line. NaN and infinity are written as null."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")

    def append(self, **values: float | int | str | list[float | None] | None) -> None:
        """Add one line; `step` should be among the values."""
        line = {
            k: None if v in (float("inf"), -float("inf")) or v != v else v
            for k, v in values.items()
        }
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a metrics file; those that are damaged, or cut short by a crash, are left out.

    Raises:
        DataError: It is no file.
        StorageError: It cannot be read.
    """
    return [row for row in read_rows(path) if _is_number(row.get("loss"))]


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The same of any file with a JSON object of one step per line."""
    rows = []
    with contextlib.suppress(MissingError):
        for line in files.read_described(path, MOST).decode(errors="replace").split("\n"):
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict) and _is_number(row.get("step")):
                    rows.append(row)
    return rows


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def rewind(run: Run, step: int) -> None:
    """Drop what a run that goes on after `step` steps is about to write again."""
    # metrics.jsonl counts the steps done, skipped.jsonl names them from 0
    for path, last in ((run.metrics, step), (run.skipped, step - 1)):
        if path.exists():
            rows = [row for row in read_rows(path) if (row.get("step") or 0) <= last]
            files.write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def note_skipped(
    run: Run, step: int, loss: float, grad_norm: float, indices: Sequence[int]
) -> None:
    """Add a line to skipped.jsonl: a step whose update was skipped, and the items it saw."""
    line = {"step": step, "loss": str(loss), "grad_norm": str(grad_norm), "items": list(indices)}
    with run.skipped.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
