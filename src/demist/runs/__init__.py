"""The run folder: the contract between the trainer, the command line and every later reader."""

from demist.runs.find import find
from demist.runs.run import (
    EARLIER,
    STATES,
    MetricsLog,
    Run,
    all_runs,
    begin,
    create,
    environment,
    note_skipped,
    now,
    read_metrics,
    resume_command,
    rewind,
    slug_of,
    write_bad_files,
    write_report,
    write_summary,
)

__all__ = [
    "EARLIER",
    "STATES",
    "MetricsLog",
    "Run",
    "all_runs",
    "begin",
    "checkpoint",
    "create",
    "environment",
    "find",
    "note_skipped",
    "now",
    "read_metrics",
    "resume_command",
    "rewind",
    "slug_of",
    "write_bad_files",
    "write_report",
    "write_summary",
]
