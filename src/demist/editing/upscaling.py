"""Small images made large, by a model that learned to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from demist.conditions import LowResolution, NoisyImage
from demist.editing.redrawing import as_images
from demist.editing.sheet import Bytes
from demist.errors import UsageError
from demist.model.images import shown
from demist.model.plan import Plan
from demist.model.sampling import Sampling

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


def upscale(
    pipeline: "Pipeline",
    images: np.ndarray,
    sampling: Sampling | None = None,
    *,
    level: int | None = None,
    n: int | None = None,
    progress: bool = False,
    **cond: Any,
) -> np.ndarray:
    """Images as many times larger as the model makes them.

    Args:
        pipeline: A model with a small image as a condition.
        images: Bytes `(C, h, w)` or `(k, C, h, w)`. Of a published upscaler any size, else the one
            that it learned.
        sampling: How; `condition_noise` is the level of noise for a model that was trained here.
        level: Of the noise that a published upscaler lays over the image. None: its usual one.
        n: How many results of one image.
        progress: Show a bar.
        cond: As in `demist.editing.vary`.

    Returns:
        Bytes `(n, C, H, W)`.

    References:
        Saharia et al. 2021 (SR3), arXiv:2104.07636; Ho et al. 2022, arXiv:2106.15282.

    Raises:
        UsageError: The model makes nothing larger, or an argument makes no sense.
    """
    plan = enlarging(pipeline, as_images(pipeline, images, n), sampling, level=level, **cond)
    return shown(plan.sample(progress=progress))


def enlarging(
    pipeline: "Pipeline",
    images: Sequence[Bytes],
    sampling: Sampling | None = None,
    *,
    level: int | None = None,
    **cond: Any,
) -> Plan:
    """The plan that makes images of one size larger; raises as `upscale`."""
    name, factor = enlarged_by(pipeline)
    height, width = images[0].shape[1:]
    sides = (height * factor, width * factor)
    condition = pipeline.conditioner.conditions[name]
    given: Any = np.stack(images)
    if isinstance(condition, NoisyImage):
        pipeline = pipeline.sized(sides)
        given = given if level is None else (given, level)
    elif sides != pipeline.shape[1:]:
        h, w = pipeline.shape[1] // factor, pipeline.shape[2] // factor
        raise UsageError(
            f"an image of {width}x{height} pixels, and this model makes {w}x{h} {factor} times "
            f"larger: resize it, or show it in parts of that size with windows (--windows)"
        )
    elif level is not None:
        raise UsageError(
            "a level is for published upscalers; this model takes condition_noise, from 0 to 1"
        )
    return pipeline.plan(len(images), sampling, **{name: given}, **cond)


def enlarged_by(pipeline: "Pipeline") -> tuple[str, int]:
    """The condition that is a small image, and how many times larger the samples are.

    Raises:
        UsageError: There is none.
    """
    for name, condition in pipeline.conditioner.conditions.items():
        plain = condition.in_pixels
        if isinstance(plain, LowResolution | NoisyImage):
            return name, plain.factor
    raise UsageError(
        "this model makes no small image large: it has no condition low-resolution; its conditions "
        f"are {', '.join(pipeline.conditioner.conditions) or 'none'}"
    )
