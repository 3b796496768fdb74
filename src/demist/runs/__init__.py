"""The run folder: the contract between the trainer, the command line and every later reader."""

from demist.runs import stages
from demist.runs.control import ASKED, ask, take
from demist.runs.environment import environment
from demist.runs.find import find
from demist.runs.loss import RECENT, recent_loss
from demist.runs.metrics import (
    LEVELS,
    MetricsLog,
    note_skipped,
    read_metrics,
    read_rows,
    rewind,
)
from demist.runs.run import (
    EARLIER,
    STATES,
    Run,
    all_runs,
    begin,
    create,
    now,
    resume_command,
    slug_of,
    write_options,
)
from demist.runs.summary import add_to_summary, write_bad_files, write_report, write_summary

__all__ = [
    "ASKED",
    "EARLIER",
    "LEVELS",
    "RECENT",
    "STATES",
    "MetricsLog",
    "Run",
    "add_to_summary",
    "all_runs",
    "ask",
    "begin",
    "checkpoint",
    "create",
    "environment",
    "find",
    "note_skipped",
    "now",
    "options",
    "read_metrics",
    "read_rows",
    "recent_loss",
    "resume_command",
    "rewind",
    "slug_of",
    "stages",
    "take",
    "write_bad_files",
    "write_options",
    "write_report",
    "write_summary",
]
