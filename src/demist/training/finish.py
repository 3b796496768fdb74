"""What a run leaves behind at its limit: a model, a summary, and the curve of its loss."""

import contextlib
from collections.abc import Callable
from typing import Any

from demist import runs
from demist.config import training_command
from demist.drawing import loss_curve
from demist.errors import DataError, DemistError, MissingError
from demist.io.files import read_json
from demist.machine.memory import peak_memory
from demist.model import learned_codec
from demist.model.learned_codec import Trained
from demist.runs import Run
from demist.training import advice
from demist.training.experiment import Experiment
from demist.training.fit import TrainState


def is_finished(run: Run, step: int) -> bool:
    """Whether there is a summary of just this step: it is written last."""
    try:
        summary = read_json(run.path / "summary.json")
    except DemistError:
        return False
    return summary.get("steps") == step and run.model.exists()


def finish(
    run: Run,
    experiment: Experiment,
    state: TrainState,
    pipeline: Trained,
    processes: int,
    waiting: float,
    say: Callable[[str], None],
) -> None:
    """Save the model and what is known of its training.

    Args:
        run: Where to.
        experiment: What was trained.
        state: At the last step.
        pipeline: The model, with averaged weights.
        processes: That trained together.
        waiting: Share of the time in which they waited for data.
        say: Told what the figures mean.
    """
    e = experiment
    pipeline, further = e.task.finish(pipeline, e.data)
    pipeline = learned_codec.with_stages(pipeline, run)
    facts = {**pipeline.facts, "step": state.step, "trained": _trained(run, e, state)}
    pipeline.with_facts(facts).save(run.model, replace=True)
    summary = {
        "data": e.data.name,
        "items": len(e.data),
        "classes": len(e.data.classes) if e.pipeline.conditioner.conditions else 0,
        "parameters": e.parameters,
        "steps": state.step,
        "images": state.images,
        "seconds": round(state.seconds, 1),
        "images_per_second": round(state.images / max(state.seconds, 1e-9), 1),
        "loss": runs.recent_loss(runs.read_metrics(run.metrics)),
        "skipped": state.skipped,
        "waiting_for_data": waiting,
        "processes": processes,
        "precision": e.config.optimization.precision,
        "peak_memory_mb": round(peak_memory() / 1e6),
        **further,
    }
    with contextlib.suppress(DataError, MissingError):  # no matplotlib, or hardly any steps
        loss_curve(run.metrics, run.path / "loss.png")
    runs.write_summary(run, summary)
    if said := advice.beside_linear(summary):
        say(said)


def _trained(run: Run, experiment: Experiment, state: TrainState) -> dict[str, Any]:
    """What the page of the model says of its training."""
    return {
        "command": runs.stages.command(run) or training_command(experiment.config),
        "seconds": round(state.seconds),
        "data": experiment.data.report.paragraph(),
    }
