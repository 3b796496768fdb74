"""Weights & Biases."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from demist.training.trackers.tracker import Beginning, Session, Tracker


@dataclass(frozen=True)
class WeightsAndBiases(Tracker):
    """Weights & Biases; `wandb login` once, or mode=offline.

    Attributes:
        project: Of the runs.
        entity: User or team; None: as wandb is set.
        mode: online, offline or disabled; None: as wandb is set.
    """

    name: ClassVar[str] = "wandb"
    package: ClassVar[str] = "wandb"
    project: str = "demist"
    entity: str | None = None
    mode: Literal["online", "offline", "disabled"] | None = None

    def begin(self, run: Beginning) -> Session:
        import wandb

        identity = run.identity or uuid.uuid4().hex
        live = wandb.init(
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            id=identity,
            resume="allow",
            name=run.folder.name,
            config=None if run.identity else dict(run.options),
            settings={"console": "off"},
        )

        def draw(path: Path, step: int) -> None:
            live.log({"samples": wandb.Image(str(path))}, step=step)

        return Session(
            identity,
            lambda values, step: live.log(dict(values), step=step),
            draw,
            lambda state: live.finish(exit_code=int(state == "failed")),
        )
