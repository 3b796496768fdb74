"""Variations: an image noised to some time, and sampled from there (SDEdit)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from demist.editing.redrawing import as_images, redraw
from demist.editing.sheet import Sheet
from demist.model.images import shown
from demist.model.sampling import Sampling

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


def vary(
    pipeline: "Pipeline",
    images: np.ndarray,
    strength: float = 0.6,
    sampling: Sampling | None = None,
    *,
    n: int | None = None,
    progress: bool = False,
    **cond: Any,
) -> np.ndarray:
    """Images that keep of others what noise of some strength leaves.

    Costs the evaluations of the steps, all of which lie below the strength. Strength 0 gives the
    images back, bit for bit; strength 1 is `pipeline.sample`, bit for bit.

    Args:
        pipeline: The model.
        images: Bytes `(C, H, W)` or `(k, C, H, W)`; of another size than the model's they are
            resized for it, and the results are resized back.
        strength: Time at which sampling begins, from 0 to 1.
        sampling: How.
        n: How many variations of one image.
        progress: Show a bar.
        cond: Conditions by name, fields of `Sampling`, and further arguments of `Pipeline.plan`.

    Returns:
        Bytes `(n, C, H, W)`.

    References:
        Meng et al. 2022, "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential
        Equations", arXiv:2108.01073, algorithm 1.

    Raises:
        UsageError: An argument makes no sense for this model.
    """
    sheets = [Sheet.whole(image) for image in as_images(pipeline, images, n)]
    edit = redraw(pipeline, sheets, sampling, strength=strength, **cond)
    return shown(np.stack(edit.sample(progress=progress)))
