"""Words of the prompt changed, and the image where they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from demist.editing.kinds.kind import Kind, Told
from demist.editing.redrawing import Edit, sides_of
from demist.editing.sheet import Sheet
from demist.editing.swap import swap_plan
from demist.errors import UsageError
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling


@dataclass(frozen=True)
class Swap(Kind):
    """See `demist.editing.swap`; images are inverted first.

    Attributes:
        words: `old->new`, several with commas.
        strength: Time up to which images are inverted.
    """

    words: str
    strength: float = 1.0

    says: ClassVar[str] = (
        "the source is followed for part of the steps; where only colours change, its edges stay"
    )
    without_windows: ClassVar[str] = "--swap finds words in all of an image at once"

    def edit(
        self, pipeline: Pipeline, sheets: Sequence[Sheet], sampling: Sampling, cond: Told
    ) -> Edit:
        """See `Kind.edit`."""
        images, begun = at_own_size(pipeline, sheets, self.strength)
        name = pipeline.conditioner.called("prompt")
        prompt = cond.get(name or "")
        if not prompt:
            raise UsageError("--swap changes words of the prompt: say what is shown with --prompt")
        further = {k: v for k, v in cond.items() if k != name}
        plan = swap_plan(
            pipeline, prompt, self.words, images, sampling=sampling, **begun, **further
        )
        return Edit(sheets, plan)


def at_own_size(
    pipeline: Pipeline, sheets: Sequence[Sheet], strength: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Images at the model's size, and where sampling begins.

    Raises:
        UsageError: The strength makes no sense.
    """
    if not 0 < strength <= 1:
        raise UsageError(f"strength = {strength:g}: give a number above 0 (keep), to 1 (anew)")
    images = np.stack([sheet.shown(sides_of(pipeline)) for sheet in sheets])
    return images, {"start": strength} if strength < 1 else {}
