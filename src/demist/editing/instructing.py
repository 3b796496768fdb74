"""Instructions: what is to change is said, and the network is shown the image (InstructPix2Pix)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from demist.conditions import Picture
from demist.editing.redrawing import as_images, redraw, sides_of
from demist.editing.sheet import Sheet
from demist.errors import UsageError
from demist.model.images import shown
from demist.model.sampling import Sampling
from demist.model.values import PROMPT, name_of, value_of
from demist.parts import parse

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

RULE = "dual"
"""The rule of guidance with a scale for the image and one for the instruction."""


def instruct(
    pipeline: "Pipeline",
    images: np.ndarray,
    instruction: str,
    sampling: Sampling | None = None,
    *,
    image_guidance: float | None = None,
    n: int | None = None,
    progress: bool = False,
    **cond: Any,
) -> np.ndarray:
    """Images changed as an instruction says, by a model that learned to follow such.

    Two scales lead: `guidance` from the image to the instruction, `image_guidance` from nothing to
    the image. A step costs three evaluations; where the scales are equal this is plain guidance,
    and costs two.

    Args:
        pipeline: A model of prompts and of one image beside.
        images: Bytes `(C, H, W)` or `(k, C, H, W)`.
        instruction: Such as "make it red".
        sampling: How.
        image_guidance: More keeps closer to the image. None: as the model or the rule says, 1.5.
        n: How many results of one image.
        progress: Show a bar.
        cond: As in `demist.editing.vary`.

    Returns:
        Bytes `(n, C, H, W)`.

    References:
        Brooks, Holynski & Efros 2023, arXiv:2211.09800, eq. 3.

    Raises:
        UsageError: The model reads no prompt or sees no image, or an argument makes no sense.
    """
    sheets = [Sheet.whole(image) for image in as_images(pipeline, images, n)]
    how, told = instructed(pipeline, sheets, instruction, sampling or Sampling(), image_guidance)
    edit = redraw(pipeline, sheets, how, **told, **cond)
    return shown(np.stack(edit.sample(progress=progress)))


def instructed(
    pipeline: "Pipeline",
    sheets: Sequence[Sheet],
    instruction: str,
    sampling: Sampling,
    image_guidance: float | None = None,
) -> tuple[Sampling, dict[str, Any]]:
    """How to sample, and the conditions that say what to change in which images.

    Raises:
        UsageError: As `instruct`.
    """
    name = shown_image(pipeline)
    told = {
        name_of(pipeline, PROMPT): value_of(pipeline, PROMPT, instruction),
        name: np.stack([sheet.shown(sides_of(pipeline)) for sheet in sheets]),
    }
    if sampling.guidance_rule is not None:
        if image_guidance is not None:
            raise UsageError(
                f"image_guidance is an option of the rule {RULE}; write {RULE}:first={name},"
                f"first_scale={image_guidance:g}, or leave the rule out"
            )
        return sampling, told
    own = parse(pipeline.defaults.guidance_rule or "")[0]
    if image_guidance is not None or own != RULE:
        scale = "" if image_guidance is None else f",first_scale={image_guidance!r}"
        sampling = Sampling(guidance_rule=f"{RULE}:first={name}{scale}").over(sampling)
    return sampling, told


def shown_image(pipeline: "Pipeline") -> str:
    """The condition by which the network is shown an image.

    Raises:
        UsageError: It has none, or several.
    """
    known = pipeline.conditioner.conditions
    found = [name for name, c in known.items() if isinstance(c.in_pixels, Picture)]
    if len(found) != 1:
        what = "is shown no image" if not found else f"is shown several ({', '.join(found)})"
        raise UsageError(
            f"instructions are for a model that learned to follow them with one image as a "
            f"condition; this one {what}; its conditions: {', '.join(known) or 'none'}"
        )
    return found[0]
