"""Going on with a run: which options may differ, and which run the same command means."""

import os
from collections.abc import Callable, Collection
from typing import Any

from demist import runs
from demist.config import (
    CODEC_WORDS,
    LimitsConfig,
    OutputConfig,
    Stages,
    TrainConfig,
    differences,
    divide,
    flat,
    patch_of,
    update,
)
from demist.errors import DemistError, LockedError, UsageError
from demist.io import hub
from demist.machine.streams import tell
from demist.runs import Run
from demist.training.given import with_runs_named

UNFINISHED = ("killed", "stopped", "failed")
"""States of a run that the same command goes on with."""

FREE = {
    "path",
    "teacher",
    "start_from",
    "codec",
    "text_encoder",
    "device",
    "threads",
    "auto_microbatch",
    "parallel",
    "compile",
    *vars(LimitsConfig()),
    *vars(OutputConfig()),
}
"""Options that may always change: they do not decide what is learned. What data, teacher, base,
codec and encoder are is compared, wherever they lie."""
DECLARED = {
    "max_bad", "flip", "label_drop", "dropout", "times", "weight", "lr", "muon_ratio", "batch_size",
    "warmup", "decay", "beta1", "beta2", "weight_decay", "clip", "ema", "precision",
    "micro_batches", "exact_sums", "matching_times", "student_rate",
    "kl_weight", "reconstruction", "codebook_decay", "commitment", "adversarial_start",
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
        if not is_free(name, before) and name not in override
    ]
    if rows:
        head = f"  {'option':20s} {'the run has':>20s} {'you asked for':>20s}   it takes"
        raise UsageError(
            "these options cannot change silently when a run is resumed; leave them, or:\n"
            + "\n".join([head, *rows])
        )


def is_free(name: str, before: Any) -> bool:
    """Whether an option of this value may always change."""
    return name in FREE and not (name == "codec" and before in CODEC_WORDS)


def with_hold_out(config: TrainConfig, share: float | None) -> TrainConfig:
    """The options, with `share` for `hold_out` where that is not decided yet."""
    if config.data.hold_out is not None:
        return config
    return update(config, {"hold_out": share})


def require_whole(run: Run) -> None:
    """Check that a run is not an earlier stage of another, which would no longer fit the rest.

    Raises:
        UsageError: It is.
    """
    if (whole := runs.stages.whole(run)) != run:
        raise UsageError(
            f"{run.path} is a stage of {whole.path}; go on with that: {runs.resume_command(whole)}"
        )


def unfinished(config: TrainConfig | Stages, say: Callable[[str], None] = tell) -> Run | None:
    """The newest run with just these options, if it was killed, stopped or failed.

    So the same command, typed again after whatever happened, goes on instead of starting anew. If
    it cannot, it is said why.

    Args:
        config: All options, however paths among them are spelled; or all stages.
        say: Called with a sentence for each run that is passed over, though perhaps it is meant.

    Raises:
        LockedError: Another process trains this run just now.
    """
    run = newest(config, say)
    if run is None:
        return None
    state = state_of(run, say)
    if state == "running":
        raise LockedError(
            f"{run.path} is being trained with the same options by another process; wait for it, "
            f"stop it, or start another with --fresh"
        )
    return run if state in UNFINISHED else None


def newest(
    config: TrainConfig | Stages, say: Callable[[str], None] = lambda message: None
) -> Run | None:
    """The newest run with just these options; `say` is told as in `unfinished`."""
    asked, near = config if isinstance(config, Stages) else divide(config), ""
    for run in reversed(runs.all_runs(asked.last.output.runs)):
        if not run.begun:
            continue
        try:
            old = runs.stages.read(run)
        except (DemistError, OSError) as error:
            say(f"{run.path} cannot be read, so it is not gone on with: {error}")
            continue
        if [stage.name for stage in old] != [stage.name for stage in asked]:
            continue
        changed = {
            name if stage.config is asked.last else f"{name} of {stage.name}": was
            for stage, before in zip(asked, old, strict=True)
            for name, (was, _) in _changes(before.config, stage.config, run).items()
        }
        if not changed:
            return run
        free = all(is_free(name.partition(" of ")[0], was) for name, was in changed.items())
        if not near and free and state_of(run) in UNFINISHED:
            others = ", ".join(f"{name} = {was!r}" for name, was in changed.items())
            near = f"{run.path} is not gone on with, as it has {others}: --resume {run.number} does"
    if near:
        say(near)
    return None


def _changes(old: TrainConfig, asked: TrainConfig, run: Run) -> dict[str, tuple[Any, Any]]:
    """What is not the same in a run as in what was asked for."""
    return differences(_comparable(old, asked, run), _comparable(asked, asked, run))


def _comparable(config: TrainConfig, asked: TrainConfig, run: Run) -> TrainConfig:
    """What makes a command the same: not where runs lie, nor how a place is spelled.

    The latest run to start from is not `run` itself, which may be the latest by now.
    """
    config = with_runs_named(config, run)
    values: dict[str, Any] = {"runs": "", "patch": patch_of(config)}
    if asked.optimization.precision == "auto":
        values["precision"] = "auto"
    if asked.data.hold_out is None:
        values["hold_out"] = None
    for name in ("path", "teacher", "start_from", "codec"):
        place = flat(config)[name]
        if name == "codec" and place in CODEC_WORDS:
            continue
        values[name] = os.path.realpath(place) if place and os.path.exists(place) else place
        if place and hub.is_named(place):
            values[name] = place.partition("@")[0]  # a run has the commit, a command need not
    return update(config, values)


def state_of(run: Run, say: Callable[[str], None] = lambda message: None) -> str:
    """What the status says; of one that cannot be read, whether somebody writes the run."""
    try:
        return str(run.status().get("state"))
    except (DemistError, OSError) as error:
        say(str(error))
        return "running" if run.is_locked() else "killed"
