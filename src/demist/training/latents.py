"""Latents of a whole data set, made once and kept in the cache folder; see `demist.io.kept`.

A file is named by a hash of the codec's weights and of the data, so a change of either makes
another file. It holds what the codec gives, neither centred nor scaled: the means or, where every
step is to draw anew, means and log-variances one after the other along the channels.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demist.codecs import ChannelScale, Codec, Draw, Per, drawn
from demist.data import Dataset
from demist.data.images.buckets import Bucketed
from demist.errors import UsageError
from demist.io.kept import kept
from demist.model.components import hash_of
from demist.training.parallel import ALONE, World
from demist.training.streams import permutation

FORMAT, BLOCK = 2, 256
"""Version of the files, and items encoded at a time."""
MEASURED, MOST = 8192, 2**25
"""Of how many items, and of how many numbers in them, the scale is measured at most."""
COLOURED = 1024
"""To how many items the colours of the preview are fitted, at most."""
NARROW = -30.0
"""The log-variance of a codec that draws nothing."""


@runtime_checkable
class LatentCodec(Protocol):
    """What is needed of a codec with networks; see `demist.codecs.KLAutoencoder`."""

    pixels: Codec
    scale: ChannelScale
    colours: object

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents of data, neither centred nor scaled."""

    def measured(self, latents: Tensor, per: Per, variance: Tensor | None) -> Codec:
        """The codec with the scale of these latents."""

    def coloured(self, latents: Tensor, x: Tensor) -> Codec:
        """The codec with a preview fitted to latents and their data."""


@dataclass(frozen=True)
class Drawn(Codec):
    """What is left to be done with kept means and log-variances: draw, centre and scale.

    Attributes:
        scale: Of the latents.
    """

    name: ClassVar[str] = ""
    lossless: ClassVar[bool] = False
    scale: ChannelScale

    def encode(self, x: Tensor, noise: Draw | None = None) -> Tensor:
        """Means and log-variances `(B, 2 k, h, w)` to states `(B, k, h, w)`."""
        mean, log_variance = x.chunk(2, 1)
        return self.scale.encode(drawn(mean, log_variance, noise))

    def decode(self, z: Tensor) -> Tensor:
        """Never: nothing is kept but the way there."""
        raise UsageError("kept latents are not decoded; the codec does that")


@dataclass(frozen=True)
class Latents:
    """What a model in latents learns from.

    Attributes:
        x: `(N, k, h, w)` float32, neither centred nor scaled; with `draws` `(N, 2 k, h, w)`.
        mirrored: The same of the data mirrored left-right, or None.
        codec: The codec, its scale measured.
        encode: The part of it that is still to be done.
        draws: Whether every step draws from the latents' distribution.
    """

    x: np.ndarray | Bucketed
    mirrored: np.ndarray | Bucketed | None
    codec: Codec
    encode: Codec
    draws: bool = False


def latents(
    codec: Codec,
    data: Dataset,
    *,
    flip: bool,
    measure: Per | None = "centred",
    draw: Literal["mean", "sampled"] = "mean",
    world: World = ALONE,
) -> Latents | None:
    """The latents of `data`, from the cache if they are there; None for a codec without networks.

    Args:
        codec: On the device on which to encode.
        data: Images.
        flip: Whether those of the mirrored data are needed.
        measure: How the scale is measured on this data; None: it stays the codec's.
        draw: Whether the means are learned, or a draw in every step.
        world: The processes that train together; the first makes them, all read them.

    Raises:
        UsageError: The data does not fit the codec.
        DataError: The latents are all alike, or not finite.
        StorageError: They cannot be written.
    """
    if not codec.components:
        for name, value, usual in (
            ("latent_draw", draw, "mean"), ("latent_scale", measure or "centred", "centred"),
        ):  # fmt: skip
            if value != usual:
                raise UsageError(
                    f"{name} = {value!r} is about the latents of a codec, and this model learns in "
                    f"pixels; add --codec, or leave it out"
                )
        return None
    if not isinstance(codec, LatentCodec):
        raise UsageError(
            f"a {type(codec).__name__} does not say how its latents are drawn and scaled; give it "
            f"what demist.training.latents.LatentCodec has"
        )
    if isinstance(data.x, Bucketed):
        return _of_buckets(codec, data, data.x, flip, measure, draw, world)
    codec.state_shape(data.x.shape[1:])  # refuse at once what does not fit
    draws = draw == "sampled" and _varies(codec, data)
    found: list[np.ndarray] = []
    for mirrored in (False, True)[: 1 + flip]:
        first = _kept(codec, data, mirrored, draws) if world.first else None
        world.agree(True)  # the others wait for the first
        found.append(_kept(codec, data, mirrored, draws) if first is None else first)
    made = _measured(codec, data, found[0], measure, draws)
    scale = cast(LatentCodec, made).scale
    return Latents(
        found[0], found[1] if flip else None, made, Drawn(scale) if draws else scale, draws
    )


def _of_buckets(
    codec: Codec,
    data: Dataset,
    x: Bucketed,
    flip: bool,
    measure: Per | None,
    draw: Literal["mean", "sampled"],
    world: World,
) -> Latents:
    """Those of each bucket; the scale is measured on the fullest, which comes first."""
    found: dict[int, Latents] = {}
    for k in sorted(range(len(x.parts)), key=lambda k: k != x.fullest):
        if not len(x.parts[k]):
            continue
        part = replace(data.subset(x.rows(k)), x=x.parts[k])
        made = latents(codec, part, flip=flip, measure=measure, draw=draw, world=world)
        assert made is not None
        found[k], codec, measure = made, made.codec, None
    first = found[x.fullest]
    width = first.x.shape[1]

    def joined(one: Callable[[Latents], Any]) -> Bucketed:
        shapes = (codec.state_shape(shape) for shape in x.shapes)
        empty = (np.empty((0, width, *shape[1:]), np.float32) for shape in shapes)
        parts = (one(found[k]) if k in found else none for k, none in enumerate(empty))
        return Bucketed(tuple(parts), x.which)

    mirrored = joined(lambda made: made.mirrored) if flip else None
    return replace(first, x=joined(lambda made: made.x), mirrored=mirrored)


def _measured(
    codec: LatentCodec, data: Dataset, x: np.ndarray, measure: Per | None, draws: bool
) -> Codec:
    """The codec with the scale, and the colours if it has none, that its latents ask for."""
    most = max(1, MOST // math.prod(x.shape[1:]))
    rows = np.sort(permutation(0, 0, len(data))[: min(MEASURED, most)])
    some = torch.from_numpy(x[rows])
    mean, log_variance = some.chunk(2, 1) if draws else (some, None)
    made = cast(Codec, codec)
    if measure is not None:
        made = codec.measured(mean, measure, None if log_variance is None else log_variance.exp())
    if not codec.colours:
        rows = rows[: max(1, min(COLOURED, MOST // math.prod(data.x.shape[1:])))]
        pixels = torch.from_numpy(np.array(data.x[rows]))
        made = cast(LatentCodec, made).coloured(mean[: len(rows)], pixels)
    return made


def _varies(codec: LatentCodec, data: Dataset) -> bool:
    """Whether the codec gives distributions; if not, say that there is nothing to draw."""
    _, log_variance = codec.moments(torch.from_numpy(np.array(data.x[:8])))
    if bool((log_variance > NARROW).any()):
        return True
    warnings.warn("latent_draw = 'sampled': this codec gives one code per image, and that is used")
    return False


def _kept(codec: LatentCodec, data: Dataset, mirrored: bool, draws: bool) -> np.ndarray:
    """What the cache holds, put there first if need be."""
    whole = cast(Codec, codec)
    k, *sides = whole.state_shape(data.x.shape[1:])
    key = f"{FORMAT}/{hash_of(whole.components)}/{codec.pixels}/{data.fingerprint}/{mirrored}"
    shape = (len(data), k * (1 + draws), *sides)
    return kept("latents", f"{key}/{draws}", shape, _blocks(codec, data, mirrored, draws))


def _blocks(codec: LatentCodec, data: Dataset, mirrored: bool, draws: bool) -> Iterator[np.ndarray]:
    steps = range(0, len(data), BLOCK)
    for begin in tqdm(steps, "encoding", delay=1, leave=False, disable=None):
        x = np.array(data.x[begin : begin + BLOCK])
        x = np.ascontiguousarray(x[..., ::-1]) if mirrored else x
        mean, log_variance = codec.moments(torch.from_numpy(x))
        found = torch.cat([mean, log_variance], 1) if draws else mean
        yield found.float().cpu().numpy()
