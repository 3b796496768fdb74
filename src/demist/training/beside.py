"""Images beside the samples of a model: their latents, made once, and holes drawn in every step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demist.codecs import Codec
from demist.conditions import (
    Conditioner,
    Draw,
    Encoded,
    InLatents,
    LowResolution,
    Masked,
    Picture,
    as_stored,
)
from demist.conditions.holes import NUMBERS, holes
from demist.data import Dataset
from demist.io.kept import kept
from demist.model.components import hash_of
from demist.training.latents import LatentCodec
from demist.training.parallel import World
from demist.training.stand_in import StandIn
from demist.training.vectors import firsts

FORMAT, BLOCK = 1, 128
"""Version of the files, and images encoded at a time."""


@dataclass(frozen=True)
class KeptImages(StandIn):
    """Images in latents in training, whose values are rows of what is kept.

    Attributes:
        told: The condition that it stands for.
        rows: `(N, k, h, w)`, neither centred nor scaled; then, if images are mirrored, another `N`
            of the mirrored ones.
        masks: Of the images, bytes `(N, 1, H, W)`; None: they have no holes.
        count: `N`.
        drop: As of the condition.
        group: As of the condition.
    """

    told: InLatents
    rows: np.ndarray = field(repr=False, compare=False)
    masks: Any = field(repr=False, compare=False)
    count: int
    drop: float = 0.1
    group: str = ""

    reads: ClassVar[str] = "kept-images"

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """What the network gets of the images with these numbers, int `(n,)`."""
        index = np.asarray(values)
        scale = cast(LatentCodec, self.told.coder).scale
        z = scale.encode(torch.from_numpy(np.array(self.rows[index])))
        if self.masks is None:
            return self.told.told(z, None)
        masks = np.array(self.masks[index % self.count]) >= 128
        turned = index >= self.count
        masks[turned] = masks[turned][..., ::-1]
        return self.told.told(z, torch.from_numpy(masks).float())

    def mirrored(self, values: np.ndarray) -> np.ndarray:
        return values + self.count

    def augment(self, encoded: Encoded, draw: Draw) -> Encoded:
        return self.told.augment(encoded, draw)


@dataclass(frozen=True)
class DrawnHoles(StandIn):
    """Images of which other parts are hidden in every step, for data without masks.

    Attributes:
        told: The condition that it stands for.
        drop: As of the condition.
        group: As of the condition.
    """

    told: Masked | InLatents
    drop: float = 0.1
    group: str = ""

    reads: ClassVar[str] = "drawn-holes"
    spatial: ClassVar[bool] = True

    @property
    def inner(self) -> Masked:
        """The condition in pixels."""
        return cast(Masked, self.told.in_pixels)

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """The images, bytes `(n, C, H, W)`, whole yet."""
        nothing = np.zeros((n, 1, *self.inner.shape[1:]), np.uint8)
        return self.inner.encode((values, nothing), n)

    def augment(self, encoded: Encoded, draw: Draw) -> Encoded:
        """With holes that each sample's own numbers draw."""
        _, height, width = self.inner.shape
        u = torch.special.ndtr(draw(encoded["mask"].new_empty(len(encoded["mask"]), NUMBERS)))
        anew = holes(u, height, width).float()
        parts = {"image": encoded["image"] * (1 - anew), "mask": anew}
        if not isinstance(self.told, InLatents):
            return parts
        return self.told.told(self.told.coder.encode(as_stored(parts)), anew)


def in_latents(conditioner: Conditioner, codec: Codec) -> Conditioner:
    """The conditions of a model with a codec: images go through it, if it has a network.

    Args:
        conditioner: In pixels, or in latents of the same codec with another scale.
        codec: Of the model.
    """
    if not codec.components:
        return conditioner
    made = dict(conditioner.conditions)
    for name, c in conditioner.conditions.items():
        inner = c.in_pixels
        if isinstance(inner, Picture | Masked | LowResolution):
            made[name] = InLatents(inner, codec, True, c.drop, c.group)
    return Conditioner(made)


def kept_images(
    conditioner: Conditioner, values: Mapping[str, Any], data: Dataset, flip: bool, world: World
) -> tuple[Conditioner, dict[str, Any]]:
    """The conditions and their values as batches read them.

    Latents are looked up, and holes are drawn where the data has no masks.

    Args:
        conditioner: Of the model, its codec measured.
        values: Of its conditions in the data.
        data: The samples.
        flip: Whether the latents of mirrored images are needed.
        world: The processes that train together; the first makes the files, all read them.

    Raises:
        StorageError: A file cannot be written.
    """
    made, found = dict(conditioner.conditions), dict(values)
    for name, condition in conditioner.conditions.items():
        inner = condition.in_pixels
        if isinstance(inner, Masked) and name not in values:
            assert isinstance(condition, Masked | InLatents)
            made[name] = DrawnHoles(condition, condition.drop, condition.group)
            found[name] = data.x
        elif isinstance(condition, InLatents) and (name in values or inner.from_samples):
            given = values.get(name, data.x)  # a small image is made of the sample, too
            rows = firsts(partial(_kept, condition, name, given, data, flip), world)
            masks = given if isinstance(inner, Masked) else None
            made[name] = KeptImages(
                condition, rows, masks, len(given), condition.drop, condition.group
            )
            found[name] = np.arange(len(given))
    return Conditioner(made), found


def _kept(told: InLatents, name: str, given: Any, data: Dataset, flip: bool) -> np.ndarray:
    codec = cast(Codec, told.coder)
    weights, pixels = hash_of(codec.components), cast(LatentCodec, codec).pixels
    what = f"{type(told.inner).__name__}{getattr(told.inner, 'factor', '')}"
    key = f"{FORMAT}/{weights}/{pixels}/{data.fingerprint}/{what}/{name}/{flip}"
    shape = (len(given) * (1 + flip), *codec.state_shape(told.inner.shape))
    return kept("latents", key, shape, _blocks(told, given, data.x, flip))


def _blocks(told: InLatents, given: Any, x: Any, flip: bool) -> Iterator[np.ndarray]:
    for mirrored in (False, True)[: 1 + flip]:
        order = range(0, len(given), BLOCK)
        for begin in tqdm(order, "encoding images", delay=1, leave=False, disable=None):
            here = slice(begin, begin + BLOCK)
            rows, beside = np.array(given[here]), np.array(x[here])
            if mirrored:
                rows, beside = rows[..., ::-1].copy(), beside[..., ::-1].copy()
            parts = told.inner.encode(told.inner.beside(rows, beside), len(rows))
            mean, _ = cast(LatentCodec, told.coder).moments(as_stored(parts))
            yield mean.float().cpu().numpy()
