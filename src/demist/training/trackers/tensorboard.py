"""TensorBoard."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from demist.training.trackers.tracker import Beginning, Session, Tracker


@dataclass(frozen=True)
class TensorBoard(Tracker):
    """TensorBoard's files, in the run's folder: `tensorboard --logdir runs` shows all runs."""

    name: ClassVar[str] = "tensorboard"
    package: ClassVar[str] = "tensorboard"

    def begin(self, run: Beginning) -> Session:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / "tensorboard"
        # What a killed run wrote after its last checkpoint comes again.
        writer = SummaryWriter(str(folder), purge_step=run.step + 1 if run.identity else None)
        if not run.identity:
            rows = "\n".join(f"    {name} = {value!r}" for name, value in run.options.items())
            writer.add_text("options", rows, run.step)

        def log(values: Mapping[str, float], step: int) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)
            writer.flush()

        def draw(path: Path, step: int) -> None:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            writer.add_image("samples", pixels, step, dataformats="HWC")
            writer.flush()

        return Session(folder.name, log, draw, lambda state: writer.close())
