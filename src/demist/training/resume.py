"""Going on with a run: which options may differ, and which run the same command means."""

import contextlib
from collections.abc import Collection

from demist import runs
from demist.config import LimitsConfig, OutputConfig, TrainConfig, differences, update
from demist.errors import DemistError, UsageError
from demist.runs import Run

FREE = {
    "path",
    "teacher",
    "codec",
    "device",
    "threads",
    "auto_microbatch",
    "parallel",
    "compile",
    *vars(LimitsConfig()),
    *vars(OutputConfig()),
}
"""Options that may always change: they do not decide what is learned. What data, teacher and codec
are is compared, wherever they lie."""
DECLARED = {
    "max_bad", "flip", "label_drop", "dropout", "times", "weight", "lr", "muon_ratio", "batch_size",
    "warmup", "decay", "beta1", "beta2", "weight_decay", "clip", "ema", "precision",
    "micro_batches", "matching_times", "student_rate",
    "kl_weight", "reconstruction",
}  # fmt: skip
"""Options that may change if that is said aloud. All others make another network or other data."""


def require_resumable(old: TrainConfig, new: TrainConfig, override: Collection[str] = ()) -> None:
    """Check that a run started with `old` may go on with `new`.

    Args:
        old: The run's options.
        new: Those asked for.
        override: Options of which it was said that they may change.

    Raises:
        UsageError: Something else changed; the message is a table of old and new.
    """
    wrong = [name for name in override if name not in DECLARED]
    if wrong:
        raise UsageError(
            f"--override {wrong[0]}: this cannot change within a run, or need not be declared; "
            f"those that can: {', '.join(sorted(DECLARED))}"
        )
    changed = differences(old, new)
    rows = [
        f"  {name:20s} {before!s:>20s} {after!s:>20s}   "
        + (f"--override {name}" if name in DECLARED else "a new run")
        for name, (before, after) in changed.items()
        if name not in FREE and name not in override
    ]
    if rows:
        head = f"  {'option':20s} {'the run has':>20s} {'you asked for':>20s}   it takes"
        raise UsageError(
            "these options cannot change silently when a run is resumed; leave them, or:\n"
            + "\n".join([head, *rows])
        )


def with_hold_out(config: TrainConfig, share: float | None) -> TrainConfig:
    """The options, with `share` for `hold_out` where that is not decided yet."""
    if config.data.hold_out is not None:
        return config
    return update(config, {"hold_out": share})


def unfinished(config: TrainConfig) -> Run | None:
    """The newest run with just these options, if it was killed, stopped or failed.

    So the same command, typed again after whatever happened, goes on instead of starting anew.
    """
    run = newest(config)
    if run is None or run.status().get("state") not in ("killed", "stopped", "failed"):
        return None
    return run


def newest(config: TrainConfig) -> Run | None:
    """The newest run with just these options."""
    for run in reversed(runs.all_runs(config.output.runs)):
        with contextlib.suppress(DemistError, OSError):
            run.status()
            old = run.config()
            if config.optimization.precision == "auto":
                old = update(old, {"precision": "auto"})
            if config.data.hold_out is None:
                old = update(old, {"hold_out": None})
            if old == config:
                return run
    return None
