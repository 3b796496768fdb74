"""Images and masks to a plan that makes them anew, and its samples back into the images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from demist import modalities
from demist.conditions import Masked
from demist.editing.known import Fill, with_known
from demist.editing.masks import Mask, checked_mask, is_hard
from demist.editing.sheet import Bytes, Sheet
from demist.errors import UsageError
from demist.model.plan import Plan
from demist.model.sampling import Sampling

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline


@dataclass(frozen=True, eq=False)
class Edit:
    """Images, and the plan that edits them.

    Attributes:
        sheets: One for each sample.
        plan: Makes what is put back; None: the images stay as they are.
        blend: Pixels inside a mask in which the old image passes into the new one.
        whole: Whether what is made are the results, and nothing is put back.
    """

    sheets: Sequence[Sheet]
    plan: Plan | None
    blend: int = 0
    whole: bool = False

    def sample(self, *, progress: bool = False) -> list[Bytes]:
        """The edited images, each of the size it had."""
        if self.plan is None:
            return [sheet.image for sheet in self.sheets]
        return self.finished(self.plan.sample(progress=progress))

    def finished(self, made: np.ndarray) -> list[Bytes]:
        """The images with samples or previews of the plan `(n, C, h, w)` in their places."""
        if self.whole:
            return list(made)
        return [s.put_back(x, self.blend) for s, x in zip(self.sheets, made, strict=True)]


def redraw(
    pipeline: "Pipeline",
    sheets: Sequence[Sheet],
    sampling: Sampling | None = None,
    *,
    strength: float = 1.0,
    fill: Fill = "original",
    jumps: int = 0,
    blend: int = 0,
    **cond: Any,
) -> Edit:
    """The edit that makes sheets anew, where their masks say so.

    A model whose network is told a mask (conditions `masked` and, published, `hole`) is told it;
    with any other, what is kept is put back after each step (`demist.editing.known`).

    Args:
        pipeline: The model.
        sheets: Images with their masks; each sample is made with a seed of its own.
        sampling: How.
        strength: Time at which sampling begins on the noised image: 0 leaves it as it is, 1 begins
            with noise alone.
        fill: What holes hold at the start, of which at strength 1 little or nothing is left.
        jumps: How often each step is taken again (RePaint); 0: never.
        blend: Pixels inside a mask in which the old image passes into the new one.
        cond: Conditions by name, fields of `Sampling`, and further arguments of `Pipeline.plan`.

    Raises:
        UsageError: An argument makes no sense for this model.
    """
    if not 0 <= strength <= 1:
        raise UsageError(f"strength = {strength:g}: give a number from 0 (keep) to 1 (anew)")
    if blend < 0:
        raise UsageError(f"blend = {blend}: give 0 pixels or more")
    sides = sides_of(pipeline)
    images = np.stack([sheet.shown(sides) for sheet in sheets])
    masks = np.stack([sheet.anew(sides) for sheet in sheets])
    told = told_masks(pipeline, cond)
    if told is not None:
        if jumps:
            raise UsageError(
                "jumps are for models that know nothing of masks; this one is told the mask, so "
                "leave them out"
            )
        cond[told] = (images, hard(masks)[:, None])
    begun: dict[str, Any] = {}
    if strength < 1:
        begun = {"init": filled(images, masks, fill), "start": strength}
    plan = pipeline.plan(len(sheets), sampling, **begun, **cond)
    if strength == 0 or not masks.any():
        return Edit(sheets, None, blend)
    if told is None and (masks < 1).any():
        plan = with_known(plan, images, masks, strength=strength, fill=fill, jumps=jumps)
    return Edit(sheets, plan, blend)


def sides_of(pipeline: "Pipeline") -> tuple[int, int]:
    """Height and width of a model's images.

    Raises:
        UsageError: It makes something else.
    """
    if not (modality := modalities.of(pipeline)).spatial:
        raise UsageError(f"images are edited, and this model makes {modality.name}")
    _, height, width = pipeline.shape
    return height, width


def told_masks(pipeline: "Pipeline", given: Mapping[str, Any] = {}) -> str | None:
    """The condition by which the network is told a mask; None: it has none, or it is given."""
    for name, condition in pipeline.conditioner.conditions.items():
        if isinstance(condition.in_pixels, Masked) and name not in given:
            return name
    return None


def hard(masks: np.ndarray) -> np.ndarray:
    """Masks of bytes 0 and 1.

    Raises:
        UsageError: There are greys.
    """
    if not is_hard(masks):
        raise UsageError(
            "this model is told the mask, so it must be black and white, and it has greys: set a "
            "threshold, such as 0.5, and leave blur out"
        )
    return masks.astype(np.uint8)


def filled(images: np.ndarray, masks: np.ndarray, fill: Fill) -> np.ndarray:
    """What sampling begins on: images `(n, C, H, W)`, their holes filled."""
    if fill != "mean":
        return images
    kept = np.asarray(masks < 1, np.float32)[:, None]
    kept[~kept.any((1, 2, 3))] = 1
    mean = (images * kept).sum((2, 3), keepdims=True) / kept.sum((2, 3), keepdims=True)
    return np.asarray(np.where(masks[:, None] == 1, np.rint(mean).astype(np.uint8), images))


def as_images(pipeline: "Pipeline", images: np.ndarray, n: int | None) -> list[Bytes]:
    """One image for each sample.

    Args:
        pipeline: The model.
        images: Bytes `(C, H, W)` or `(k, C, H, W)`.
        n: How many samples; None: one for each image.

    Raises:
        UsageError: They are no images of the model's channels, or their number does not fit.
    """
    sides_of(pipeline)
    found, channels = np.asarray(images), pipeline.shape[0]
    match found.shape:
        case (c, _, _) if c == channels:
            found = found[None]
        case (_, c, _, _) if c == channels:
            pass
        case _:
            raise UsageError(
                f"images of shape {found.shape}; give bytes of shape ({channels}, height, width), "
                f"or several such"
            )
    if found.dtype != np.uint8 or not found.size:
        raise UsageError(f"images of {found.dtype} and shape {found.shape}; give bytes, 0 to 255")
    return list(found) * (n or 1) if len(found) == 1 else _as_many(list(found), n)


def _as_many(images: list[Bytes], n: int | None) -> list[Bytes]:
    if n not in (None, len(images)):
        raise UsageError(f"{len(images)} images for {n} samples; give one, or as many")
    return images


def as_masks(mask: np.ndarray, images: Sequence[Bytes]) -> list[Mask]:
    """One mask for each image.

    Args:
        mask: One for all, `(H, W)`, or as many as images, `(n, H, W)` or `(n, 1, H, W)`.
        images: Of one size.

    Raises:
        UsageError: Another size or number, or no mask.
    """
    sides = images[0].shape[1:]
    found = np.asarray(mask)
    one = found.shape[:-2] in ((), (1,))
    if not one and len(found) != len(images):
        raise UsageError(f"{len(found)} masks for {len(images)} images; give one, or as many")
    each = [found] * len(images) if one else list(found)
    return [checked_mask(single, (sides[0], sides[1])) for single in each]
