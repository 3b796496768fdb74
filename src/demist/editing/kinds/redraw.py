"""Images varied, whole or within masks."""

from collections.abc import Sequence
from dataclasses import dataclass

from demist.editing.kinds.kind import Kind, Told
from demist.editing.known import Fill
from demist.editing.redrawing import Edit, redraw
from demist.editing.sheet import Sheet
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling


@dataclass(frozen=True)
class Redraw(Kind):
    """See `demist.editing.redraw`, also for the attributes."""

    strength: float = 1.0
    fill: Fill = "original"
    jumps: int = 0
    blend: int = 0

    def edit(
        self, pipeline: Pipeline, sheets: Sequence[Sheet], sampling: Sampling, cond: Told
    ) -> Edit:
        """See `Kind.edit`."""
        return redraw(
            pipeline, sheets, sampling, strength=self.strength, fill=self.fill, jumps=self.jumps,
            blend=self.blend, **cond,
        )  # fmt: skip
