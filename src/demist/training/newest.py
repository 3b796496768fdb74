"""Where a run goes on: its newest good checkpoint, of the same data and the same parts."""

from collections.abc import Callable
from typing import Any

from demist.errors import DataError
from demist.io.folders import sweep
from demist.model.sums import INDEX, read_sealed
from demist.runs import Run, checkpoint
from demist.runs.checkpoint import Checkpoint
from demist.training.experiment import Experiment

PARTS = ("teacher", "base", "codec", "text_encoder", "image_encoder")
"""What must be as it was, beside the data."""


def newest(run: Run, experiment: Experiment, say: Callable[[str], None]) -> Checkpoint | None:
    """Clear away what was left unfinished, and find the checkpoint to go on from.

    Args:
        run: To go on with.
        experiment: As it is built now.
        say: Told of checkpoints that are damaged.

    Raises:
        DataError: It was trained on other data, or with other parts.
    """
    for folder in (run.path, run.checkpoints, run.image(0).parent):
        sweep(folder)
    facts, data = _recorded(run), experiment.data
    if facts.get("fingerprint", data.fingerprint) != data.fingerprint:
        raise DataError(
            f"{run.path} was trained on other data (fingerprint "
            f"{facts['fingerprint'][:12]}, now {data.fingerprint[:12]}); restore it, or "
            f"start a new run"
        )
    for what in PARTS:
        now = experiment.pipeline.facts.get(what)
        if what == "text_encoder" and what not in facts:  # runs of the past do not say it
            continue
        if facts and facts.get(what) != now:
            raise DataError(
                f"{run.path} had another {what} (weights {str(facts.get(what))[:12]}, now "
                f"{str(now)[:12]}); restore it, or start a new run"
            )
    return checkpoint.load_newest(run.checkpoints, say, repair=True)


def _recorded(run: Run) -> dict[str, Any]:
    """What the run says of its data; nothing if it was killed before it could say anything."""
    if not run.description.exists() and not checkpoint.steps(run.checkpoints):
        return {}
    facts = read_sealed(run.description)[INDEX].get("facts")
    if not isinstance(facts, dict):
        raise DataError(f"{run.description} is damaged: it has no facts of the data")
    return facts
