"""Images larger than the model: it sees overlapping windows of its own size.

What it predicts of a pixel is the mean of what it predicts in all windows that hold it, with
weights that fall towards a window's edges. The weights sum to one, so `x_t = alpha x0 + sigma eps`
stays true, and every solver, guidance and codec works as before. One window's memory is enough.

What is farther apart than a window is joined only by the windows between: textures, crowds and
landscapes come out well, one large thing does not.

References:
    Bar-Tal et al. 2023, "MultiDiffusion: Fusing Diffusion Paths for Controlled Image Generation",
        arXiv:2302.08113, eq. 5.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from demist.codecs import Codec
from demist.codecs.codec import Draw
from demist.core import Model, Prediction, Schedule
from demist.errors import UsageError
from demist.model import Pipeline, Plan, Sampling

MARGIN = 4
"""Numbers of a state beyond each edge that a codec sees of the other side of a seamless image."""


@dataclass(frozen=True)
class Tiled:
    """A denoiser of states `(B, C, H, W)` that shows its model windows of them.

    Where no side is longer than a window's and nothing wraps it is its model, bit for bit. It is
    exact for data whose pixels are independent, and nearly so if the overlap is longer than what
    is correlated.

    Attributes:
        model: Sees the windows; conditions are given to it as they are.
        sides: Height and width of a window.
        overlap: What neighbouring windows share at least, below the sides.
        wrap: Whether states go on at the opposite edge, so that copies of them can be laid side by
            side. Then windows lie evenly all around.
    """

    model: Model
    sides: tuple[int, int]
    overlap: int
    wrap: bool = False

    @property
    def schedule(self) -> Schedule:
        """That of the model."""
        return self.model.schedule

    def __call__(self, x: Tensor, t: Tensor, **cond: Any) -> Prediction:
        """See `demist.core.Model`."""
        height, width = x.shape[2:]
        tall, wide = min(self.sides[0], height), min(self.sides[1], width)
        if (tall, wide) == (height, width) and not self.wrap:
            return self.model(x, t, **cond)
        fade = (_fade(tall, self.overlap)[:, None] * _fade(wide, self.overlap)).to(x)
        total, ends = x.new_zeros(height, width), dict[str, Tensor]()
        for rows in self._places(height, tall):
            for columns in self._places(width, wide):
                at = (..., rows[:, None].to(x.device), columns.to(x.device))
                p = self.model(x[at], t, **cond)
                total[at] += fade
                for name in ("x0", "eps", "spread"):
                    part = getattr(p, name)
                    if part is not None:
                        ends.setdefault(name, torch.zeros_like(x))[at] += part * fade
        return replace(p, spread=None, **{name: summed / total for name, summed in ends.items()})

    def _places(self, length: int, side: int) -> Iterator[Tensor]:
        """The positions along one side that each window holds."""
        step = max(1, side - self.overlap)
        if self.wrap:
            count = -(-length // step)
            starts = [round(i * length / count) for i in range(count)]
        else:
            last = length - side
            count = -(-last // step)
            starts = [round(i * last / count) for i in range(count)] + [last]
        for start in starts:
            yield (start + torch.arange(side)) % length


@dataclass(frozen=True)
class Wrapping(Codec):
    """A codec that decodes what goes on at the opposite edge.

    Attributes:
        codec: What codes; its decoder sees `MARGIN` numbers beyond each edge of a state.
    """

    codec: Codec

    def encode(self, x: Tensor, noise: Draw | None = None) -> Tensor:
        """That of the codec."""
        return self.codec.encode(x, noise)

    def preview(self, z: Tensor) -> Tensor:
        """That of the codec."""
        return self.codec.preview(z)

    def decode(self, z: Tensor) -> Tensor:
        """Data that goes on at the opposite edge."""
        scale = self.data_shape(tuple(z.shape[1:]))[1] // z.shape[2]
        return _cropped(self.codec.decode(_around(z, MARGIN)), MARGIN * scale)

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """See `Codec.components`."""
        return self.codec.components

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """See `Codec.state_shape`."""
        return self.codec.state_shape(shape)

    def data_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """See `Codec.data_shape`."""
        return self.codec.data_shape(shape)


def in_windows(
    pipeline: Pipeline,
    n: int,
    size: tuple[int, int],
    sampling: Sampling | None = None,
    *,
    overlap: float = 0.5,
    seamless: bool = False,
    **cond: Any,
) -> Plan:
    """A plan for images of any size from a model that makes one size.

    Args:
        pipeline: The model; also one whose network takes no other size.
        n: How many images.
        size: Their height and width, at least the model's own.
        sampling: The recipe.
        overlap: Share of a window that the next one sees too, from 0 to below 1. More is smoother
            and takes more evaluations: a side k times as long takes about k / (1 - overlap).
        seamless: Whether copies of an image can be laid side by side without a seam.
        **cond: Conditions, as `Pipeline.plan` takes them; each window is told them.

    Raises:
        UsageError: It makes no images, has further stages or a condition that lies over the image,
            or the size or the overlap makes no sense.
    """
    _require_able(pipeline, size, overlap)
    _, *sides = pipeline.state_shape
    own, shape = (sides[0], sides[1]), (pipeline.shape[0], *size)
    codec = Wrapping(pipeline.codec) if seamless and pipeline.codec.components else pipeline.codec
    shared = round(overlap * min(own))
    larger = replace(pipeline, shape=shape, codec=codec)
    guide = partial(Tiled, sides=own, overlap=shared, wrap=seamless)
    return larger.plan(n, sampling or Sampling(), guide=guide, **cond)


def _require_able(pipeline: Pipeline, size: tuple[int, int], overlap: float) -> None:
    match pipeline.shape:
        case (_, tall, wide):
            own = (tall, wide)
        case shape:
            raise UsageError(f"windows are parts of images, and samples here are {shape}")
    if pipeline.feeders or pipeline.refinement is not None:
        raise UsageError("windows are for a model of one stage; take a stage by itself")
    for name, condition in pipeline.conditioner.conditions.items():
        if condition.spatial:
            raise UsageError(f"the condition {name} lies over an image of the model's own size")
    if not 0 <= overlap < 1:
        raise UsageError(f"overlap = {overlap:g} is no share of a window; give 0 to below 1")
    factor = pipeline.codec.data_shape((1, 1, 1))[-1]
    if any(side < least or side % factor for side, least in zip(size, own, strict=True)):
        raise UsageError(
            f"size = {size[0]}x{size[1]}: windows are of {own[0]}x{own[1]} pixels, and sides must "
            f"be at least as long and multiples of {factor}"
        )


def _fade(side: int, overlap: int) -> Tensor:
    """Weights along a window: 1 inside, falling towards both edges over the overlap, never 0."""
    at = torch.arange(side) + 0.5
    return (torch.minimum(at, side - at) / max(overlap, 0.5)).clamp(max=1.0)


def _around(x: Tensor, margin: int) -> Tensor:
    """Images with `margin` pixels of the opposite side beyond each edge."""
    rows, columns = (torch.arange(-margin, side + margin) % side for side in x.shape[2:])
    return x[..., rows[:, None].to(x.device), columns.to(x.device)]


def _cropped(x: Tensor, margin: int) -> Tensor:
    return x[..., margin:-margin, margin:-margin]
