"""What a run says of itself and of its data once it is known, for people and for programs."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from demist.io import files
from demist.runs.run import Run


def write_summary(run: Run, facts: Mapping[str, Any]) -> None:
    """Write a table in summary.md and then the same as summary.json: with it a run is finished."""
    rows = [f"| {key.replace('_', ' ')} | {_show(value)} |" for key, value in facts.items()]
    text = "\n".join([f"# {run.path.name}", "", "| | |", "|---|---|", *rows, ""])
    files.write_text(run.path / "summary.md", text)
    files.write_json(run.path / "summary.json", dict(facts))


def add_to_summary(run: Run, facts: Mapping[str, Any]) -> None:
    """Put what was found later into summary.json and summary.md."""
    file = run.path / "summary.json"
    write_summary(run, {**(files.read_json(file) if file.exists() else {}), **facts})


def write_bad_files(run: Run, bad: Iterable[tuple[str, str]]) -> None:
    """Write bad_files.jsonl from (path, reason) pairs; nothing if there are none."""
    lines = [json.dumps({"path": path, "reason": reason}) for path, reason in bad]
    if lines:
        files.write_text(run.path / "bad_files.jsonl", "\n".join(lines) + "\n")


def write_report(run: Run, report: Mapping[str, Any]) -> None:
    """Write data.json: what was understood of the data."""
    files.write_json(run.path / "data.json", dict(report))


def _show(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
