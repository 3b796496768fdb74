"""MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from demist.training.trackers.tracker import Beginning, Session, Tracker

ENDS = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True)
class MLflow(Tracker):
    """MLflow, where MLFLOW_TRACKING_URI says; without it in this folder.

    Attributes:
        experiment: Of the runs.
    """

    name: ClassVar[str] = "mlflow"
    package: ClassVar[str] = "mlflow"
    experiment: str = "demist"

    def begin(self, run: Beginning) -> Session:
        import mlflow

        # The client, and not the run that is current for all: the caller may have one of his own.
        client = mlflow.MlflowClient()
        identity = run.identity
        if identity:
            client.update_run(identity, status="RUNNING")
        else:
            found = client.get_experiment_by_name(self.experiment)
            place = found.experiment_id if found else client.create_experiment(self.experiment)
            identity = client.create_run(place, run_name=run.folder.name).info.run_id
            for name, value in run.options.items():
                client.log_param(identity, name, value)

        def log(values: Mapping[str, float], step: int) -> None:
            for name, value in values.items():
                client.log_metric(identity, name, value, step=step)

        def draw(path: Path, step: int) -> None:
            client.log_artifact(identity, str(path), "samples")

        return Session(
            identity, log, draw, lambda state: client.set_terminated(identity, ENDS[state])
        )
