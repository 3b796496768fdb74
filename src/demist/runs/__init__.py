"""The run folder: the contract between the trainer, the command line and every later reader."""

from demist.runs.run import (
    EARLIER,
    STATES,
    MetricsLog,
    Run,
    all_runs,
    begin,
    create,
    environment,
    find,
    note_skipped,
    now,
    read_metrics,
    resume_command,
    rewind,
    write_bad_files,
    write_summary,
)

__all__ = [
    "EARLIER",
    "STATES",
    "MetricsLog",
    "Run",
    "all_runs",
    "begin",
    "create",
    "environment",
    "find",
    "note_skipped",
    "now",
    "read_metrics",
    "resume_command",
    "rewind",
    "write_bad_files",
    "write_summary",
]
