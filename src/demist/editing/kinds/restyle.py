"""A new prompt drawn in the shapes of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from demist.editing.kinds.kind import Kind, Told
from demist.editing.kinds.swap import at_own_size
from demist.editing.prompt_to_prompt import RESTYLE, Following
from demist.editing.redrawing import Edit
from demist.editing.sheet import Sheet
from demist.editing.swap import restyle_plan
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling


@dataclass(frozen=True)
class Restyle(Kind):
    """See `demist.editing.restyle`; images are inverted first.

    Attributes:
        prompt: What shall be shown.
        structure: Share of the steps that keep the shapes of the image; None: as `RESTYLE` says.
        strength: Time up to which images are inverted.
    """

    prompt: str
    structure: float | None = None
    strength: float = 1.0

    without_windows: ClassVar[str] = "--restyle follows what the network does in all of an image"

    def edit(
        self, pipeline: Pipeline, sheets: Sequence[Sheet], sampling: Sampling, cond: Told
    ) -> Edit:
        """See `Kind.edit`."""
        images, begun = at_own_size(pipeline, sheets, self.strength)
        name = pipeline.conditioner.called("prompt")
        further = {k: v for k, v in cond.items() if k != name}
        share = self.structure
        following = RESTYLE if share is None else Following(words=0, pixels=share, features=share)
        plan = restyle_plan(
            pipeline, self.prompt, images, caption=cond.get(name or "") or "",
            following=following, sampling=sampling, **begun, **further,
        )  # fmt: skip
        return Edit(sheets, plan)
