"""Images changed as an instruction says."""

from collections.abc import Sequence
from dataclasses import dataclass

from demist.editing.instructing import instructed
from demist.editing.kinds.kind import Told
from demist.editing.kinds.redraw import Redraw
from demist.editing.redrawing import Edit
from demist.editing.sheet import Sheet
from demist.errors import UsageError
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling


@dataclass(frozen=True)
class Instruct(Redraw):
    """See `demist.editing.instruct`.

    Attributes:
        instruction: What to change.
        image_guidance: How closely the image is kept; None: as the model says.
    """

    instruction: str = ""
    image_guidance: float | None = None

    def edit(
        self, pipeline: Pipeline, sheets: Sequence[Sheet], sampling: Sampling, cond: Told
    ) -> Edit:
        """See `Kind.edit`."""
        sampling, told = instructed(
            pipeline, sheets, self.instruction, sampling, self.image_guidance
        )
        if twice := [name for name in told if name in cond]:
            raise UsageError(f"--instruct gives {twice[0]}, too; leave it out elsewhere")
        return super().edit(pipeline, sheets, sampling, {**told, **cond})
