"""The page of one run, from its folder alone: curves, samples, options, evaluations."""

import json
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from demist.config import TrainConfig, differences, flat
from demist.errors import DemistError, MissingError, UsageError
from demist.io.files import read_described, read_json
from demist.io.untrusted import inside
from demist.runs import LEVELS, Run, all_runs, ask, read_metrics, recent_loss, stages
from demist.studio.shown import row

POINTS = 1500
"""Lines of metrics that a page is sent; of more, neighbours are joined."""
COLUMNS = ("loss", "grad_norm", "lr", "images_per_second", "waiting", "seconds", "images")
_SAMPLE = re.compile(r"step-(\d{6,})\.png")
_NAME = re.compile(r"\d{4,}-[a-z0-9-]{1,60}")
_STAGE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def locate(ident: str, runs: Path) -> Run:
    """A run by its id: the name of its folder, for a stage of it `NAME.STAGE`.

    Raises:
        MissingError: There is none.
    """
    name, _, stage = ident.partition(".")
    if _NAME.fullmatch(name) and (runs / name).is_dir():
        run = Run(inside(runs, name))
        if not stage:
            return run
        with suppress(DemistError):
            if _STAGE.fullmatch(stage) and stage in stages.names(run):
                return stages.stage(run, stage)
    raise MissingError(f"there is no run {ident[:60]!r} in {runs}")


def page(run: Run) -> dict[str, Any]:
    """All that is short: state, options, machine, data, samples, checkpoints, evaluations."""
    checkpoints = sorted(path.name for path in run.checkpoints.glob("step-*") if path.is_dir())
    found = row(run) | {
        "message": None,
        "command": "\n".join(_lines(run, "command.txt")[-3:]),
        "options": None,
        "changed": None,
        "samples": samples(run),
        "checkpoints": [int(name.removeprefix("step-")) for name in checkpoints],
        "evaluations": evaluations(run),
        "summary": _json(run, "summary.json"),
        "environment": _json(run, "environment.json"),
        "data": _json(run, "data.json").get("paragraph"),
        "skipped": len(_lines(run, "skipped.jsonl")),
        "bad_files": len(_lines(run, "bad_files.jsonl")),
        "stages": [],
        "can_be_asked": run.is_locked(),
    }
    with suppress(DemistError, OSError):
        found["message"] = run.status().get("message")
    with suppress(DemistError, OSError):
        found["stages"] = list(stages.names(run))
    with suppress(DemistError, OSError):
        config = run.config()
        found["options"] = plain(flat(config))
        found["changed"] = difference(TrainConfig(), config)
    return found


def metrics(run: Run) -> dict[str, Any]:
    """The curves, thinned to `POINTS`: the mean of neighbours, so that no peak is chosen or lost.

    `loss_by_level` has one row of losses for each step, between the log-SNRs `levels`; None where
    nothing was seen. The smoothed loss is the mean of a centred window of 5 % of the steps.
    """
    rows: list[dict[str, Any]] = []
    with suppress(DemistError, OSError):
        rows = read_metrics(inside(run.path, run.metrics.name))
    recent = recent_loss(rows)
    rows = joined(rows)
    found: dict[str, Any] = {name: [_number(r.get(name)) for r in rows] for name in COLUMNS}
    found["step"] = [r["step"] for r in rows]
    found["smooth"] = smoothed(found["loss"])
    found["levels"] = list(LEVELS)
    by_level = [r.get("loss_by_level") for r in rows]
    found["loss_by_level"] = by_level if any(by_level) else []
    return found | {"recent_loss": recent}


def joined(rows: list[dict[str, Any]], most: int = POINTS) -> list[dict[str, Any]]:
    """At most `most` rows: means of as many neighbours as it takes, at the step of the last."""
    size = max(1, math.ceil(len(rows) / most))
    if size == 1:
        return rows
    found = []
    for i in range(0, len(rows), size):
        part = rows[i : i + size]
        made: dict[str, Any] = {"step": part[-1]["step"]}
        for name in COLUMNS:
            values = [value for r in part if (value := _number(r.get(name))) is not None]
            made[name] = sum(values) / len(values) if values else None
        levels = [r["loss_by_level"] for r in part if isinstance(r.get("loss_by_level"), list)]
        if levels:
            columns = zip(*levels, strict=False)
            made["loss_by_level"] = [_mean(list(column)) for column in columns]
        found.append(made)
    return found


def smoothed(values: list[float | None], share: float = 0.05) -> list[float | None]:
    """Mean over a centred window of `share` of the curve, cut off at both ends."""
    half = max(1, round(len(values) * share / 2))
    sums, counts = [0.0], [0]
    for value in values:
        sums.append(sums[-1] + (value or 0.0))
        counts.append(counts[-1] + (value is not None))
    found: list[float | None] = []
    for i in range(len(values)):
        low, high = max(0, i - half), min(len(values), i + half + 1)
        n = counts[high] - counts[low]
        found.append((sums[high] - sums[low]) / n if n else None)
    return found


def samples(run: Run) -> list[int]:
    """Steps after which samples were drawn, ascending; always from the same noise."""
    folder = run.image(0).parent
    matches = [_SAMPLE.fullmatch(path.name) for path in folder.glob("step-*.png")]
    return sorted(int(match[1]) for match in matches if match)


def sample(run: Run, step: int) -> Path:
    """The page of samples drawn after `step` steps.

    Raises:
        MissingError: None was.
    """
    if step not in samples(run):
        raise MissingError(f"{run.path.name} has no samples of step {step}")
    return inside(run.path, f"samples/{run.image(step).name}")


def difference(old: TrainConfig, new: TrainConfig) -> dict[str, list[Any]]:
    """Options that differ: name -> [old, new]."""
    found = differences(old, new)
    return {name: [plain(a), plain(b)] for name, (a, b) in found.items()}


def against(run: Run, other: Run) -> dict[str, list[Any]]:
    """Options of `run` that differ from those of `other`: name -> [of other, of run]."""
    return difference(other.config(), run.config())


def neighbours(run: Run, runs: Path) -> list[str]:
    """Ids of the other runs, newest first."""
    return [r.path.name for r in reversed(all_runs(runs)) if r.begun and r.path != run.path]


def wish(run: Run, what: str) -> None:
    """Ask a run that trains to sample, save or stop.

    Raises:
        UsageError: It does not train, or cannot be written to.
    """
    try:
        ask(run, what)
    except OSError as error:
        raise UsageError(f"{run.path.name} cannot be asked: {error.strerror}") from None


def evaluations(run: Run) -> list[dict[str, Any]]:
    """Reports of `demist evaluate`: metrics with mean, values of the seeds and what is real."""
    found = []
    for path in sorted(run.path.glob("evaluation*.json")):
        said = _json(run, path.name)
        report = said.get("report")
        if isinstance(report, dict) and isinstance(report.get("metrics"), dict):
            facts = {"name": path.stem, "sampling": said.get("sampling"), "seeds": None}
            protocol = report.get("protocol")
            facts["seeds"] = protocol.get("seeds") if isinstance(protocol, dict) else None
            found.append(facts | {"metrics": plain(report["metrics"])})
    return found


def plain(value: Any) -> Any:
    """A value as JSON has it; what has no place there, in words."""
    return json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)


def _json(run: Run, name: str) -> dict[str, Any]:
    with suppress(DemistError, OSError):
        found: dict[str, Any] = plain(read_json(inside(run.path, name)))
        return found
    return {}


def _lines(run: Run, name: str) -> list[str]:
    with suppress(DemistError, OSError):
        text = read_described(inside(run.path, name)).decode("utf-8", "replace")
        return [line for line in text.splitlines() if line.strip()]
    return []


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known and not isinstance(value, bool) else None


def _mean(values: list[Any]) -> float | None:
    known = [value for v in values if (value := _number(v)) is not None]
    return sum(known) / len(known) if known else None
