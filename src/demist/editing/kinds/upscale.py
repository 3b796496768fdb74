"""Small images made large."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from demist.editing.kinds.kind import Kind, Told
from demist.editing.redrawing import Edit
from demist.editing.sheet import Bytes, Sheet
from demist.editing.upscaling import enlarged_by, enlarging
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling


@dataclass(frozen=True)
class Upscale(Kind):
    """See `demist.editing.upscale`.

    Attributes:
        level: Of the noise that a published upscaler lays over the small image; None: its usual.
    """

    level: int | None = None

    resized: ClassVar[bool] = False

    def size(self, pipeline: Pipeline, image: Bytes) -> tuple[int, int]:
        """As many times larger as the model makes it."""
        _, factor = enlarged_by(pipeline)
        return image.shape[1] * factor, image.shape[2] * factor

    def edit(
        self, pipeline: Pipeline, sheets: Sequence[Sheet], sampling: Sampling, cond: Told
    ) -> Edit:
        """See `Kind.edit`."""
        images = [sheet.image for sheet in sheets]
        plan = enlarging(pipeline, images, sampling, level=self.level, **cond)
        return Edit(sheets, plan, whole=True)
