"""Trackio."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from demist.training.trackers.tracker import Beginning, Session, Tracker


@dataclass(frozen=True)
class Trackio(Tracker):
    """Trackio, which keeps runs on this machine; `trackio show` shows them.

    Attributes:
        project: Of the runs.
        space: A Space of Hugging Face to send them to; None: nowhere.
    """

    name: ClassVar[str] = "trackio"
    package: ClassVar[str] = "trackio"
    project: str = "demist"
    space: str | None = None

    def begin(self, run: Beginning) -> Session:
        import trackio

        identity = run.identity or f"{run.folder.name}-{uuid.uuid4().hex[:6]}"  # runs go by name
        live = trackio.init(
            project=self.project,
            name=identity,
            space_id=self.space,
            config=None if run.identity else dict(run.options),
            resume="allow",
            embed=False,
        )

        def draw(path: Path, step: int) -> None:
            live.log({"samples": trackio.Image(str(path))}, step=step)

        return Session(
            identity,
            lambda values, step: live.log(dict(values), step=step),
            draw,
            lambda state: live.finish(),
        )
