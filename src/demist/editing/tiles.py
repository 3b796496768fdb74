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

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from demist.codecs import Codec
from demist.codecs.codec import Draw
from demist.conditions import Condition, ControlImage, LowResolution, Masked, Picture
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
        over: Conditions that lie over states: a window is given its part of them.
        grain: Windows begin at multiples of it: of a small image made large, its pixels.
    """

    model: Model
    sides: tuple[int, int]
    overlap: int
    wrap: bool = False
    over: frozenset[str] = frozenset()
    grain: int = 1

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
                seen = {k: v[at] if self._lies_over(k, v, x) else v for k, v in cond.items()}
                p = self.model(x[at], t, **seen)
                total[at] += fade
                for name in ("x0", "eps", "spread"):
                    part = getattr(p, name)
                    if part is not None:
                        ends.setdefault(name, torch.zeros_like(x))[at] += part * fade
        return replace(p, spread=None, **{name: summed / total for name, summed in ends.items()})

    def _lies_over(self, key: str, value: Any, x: Tensor) -> bool:
        """Whether a part of a condition is cut as the states are."""
        return key.partition(".")[0] in self.over and value.shape[2:] == x.shape[2:]

    def _places(self, length: int, side: int) -> Iterator[Tensor]:
        """The positions along one side that each window holds."""
        for start in starts(length, side, self.overlap, self.wrap, self.grain):
            yield (start + torch.arange(side)) % length


def starts(length: int, side: int, overlap: int, wrap: bool = False, grain: int = 1) -> list[int]:
    """Where windows begin along one side; see `Tiled`.

    Args:
        length: Of the whole.
        side: Of a window, at most `length`.
        overlap: What neighbours share at least, up to all but one grain.
        wrap: Whether the whole goes on at its opposite edge.
        grain: All of them are multiples of it, as `length` and `side` are.
    """
    step = max(1, (side - overlap) // grain)
    last = (length if wrap else length - side) // grain
    count = -(-last // step)
    evenly = [round(i * last / count) * grain for i in range(count)]
    return evenly if wrap else [*evenly, last * grain]


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
        UsageError: It makes no images, has further stages or a network that reads an image whole,
            or the size or the overlap makes no sense.
    """
    larger, guide = windowed(pipeline, size, overlap=overlap, seamless=seamless)
    return larger.plan(n, sampling or Sampling(), guide=guide, **cond)


def windowed(
    pipeline: Pipeline, size: tuple[int, int], *, overlap: float = 0.5, seamless: bool = False
) -> tuple[Pipeline, "partial[Tiled]"]:
    """A model for images of this size, and the guide that shows its network windows of them.

    Any function of `demist.editing` edits such images: `vary(larger, images, guide=guide)`. What
    lies over an image (a small image to be made large, a mask, an image beside) is cut with it.

    Args:
        pipeline: See `in_windows`, also for the other arguments.
        size: Height and width.
        overlap: Share of a window that the next one sees too.
        seamless: Whether images go on at their opposite edges.

    Raises:
        UsageError: As `in_windows`.
    """
    grain = _require_able(pipeline, size, overlap)
    _, *sides = pipeline.state_shape
    shared = round(overlap * min(sides))
    codec = Wrapping(pipeline.codec) if seamless and pipeline.codec.components else pipeline.codec
    known = pipeline.conditioner.conditions
    over = frozenset(name for name, condition in known.items() if condition.spatial)
    laid = {name: _laid_over(name, condition, size) for name, condition in known.items()}
    conditioner = replace(pipeline.conditioner, conditions=laid) if over else pipeline.conditioner
    larger = replace(
        pipeline, shape=(pipeline.shape[0], *size), codec=codec, conditioner=conditioner
    )
    return larger, partial(
        Tiled, sides=(sides[0], sides[1]), overlap=shared, wrap=seamless, over=over, grain=grain
    )


def windows_said(pipeline: Pipeline, larger: Pipeline, guide: "partial[Tiled]") -> str:
    """How many windows of which size, as a sentence; "" where there is one, the image itself."""
    how = guide.keywords
    factor = pipeline.shape[1] // pipeline.state_shape[1]
    each = [
        starts(length, side, how["overlap"], how["wrap"], how["grain"])
        for length, side in zip(larger.state_shape[1:], how["sides"], strict=True)
    ]
    count = len(each[0]) * len(each[1])
    if count == 1:
        return ""
    _, height, width = pipeline.shape
    wraps = ", going on at the opposite edges" if how["wrap"] else ""
    shares = f"overlapping by {how['overlap'] * factor} or more"
    return f"in {count} windows of {width}x{height} pixels, {shares}{wraps}"


def _laid_over(name: str, condition: Condition, size: tuple[int, int]) -> Condition:
    """A condition for images of this size, of which windows are given their parts."""
    if isinstance(condition, ControlImage):
        raise UsageError(f"windows: the condition {name} is read whole by a network of its own")
    if isinstance(condition, Picture | Masked | LowResolution):
        return replace(condition, shape=(condition.shape[0], *size))
    return condition.sized(*size)


def _require_able(pipeline: Pipeline, size: tuple[int, int], overlap: float) -> int:
    """Check all that `windowed` asks for; returns the grain of windows."""
    match pipeline.shape:
        case (_, tall, wide):
            own = (tall, wide)
        case shape:
            raise UsageError(f"windows are parts of images, and samples here are {shape}")
    if pipeline.feeders or pipeline.refinement is not None:
        raise UsageError("windows are for a model of one stage; take a stage by itself")
    if not 0 <= overlap < 1:
        raise UsageError(f"overlap = {overlap:g} is no share of a window; give 0 to below 1")
    smaller = [
        condition.factor for condition in pipeline.conditioner.conditions.values()
        if isinstance(condition, LowResolution)
    ]  # fmt: skip
    grain = math.lcm(1, *smaller)
    factor = math.lcm(pipeline.codec.data_shape((1, 1, 1))[-1], grain)
    if any(side < least for side, least in zip(size, own, strict=True)):
        raise UsageError(
            f"size = {size[0]}x{size[1]}: windows are of {own[0]}x{own[1]} pixels (height x "
            f"width), so an image is at least as large; a smaller one needs no windows"
        )
    if any(side % factor for side in size):
        raise UsageError(
            f"size = {size[0]}x{size[1]}: sides must be multiples of {factor}; cut or resize the "
            f"image to {size[0] // factor * factor}x{size[1] // factor * factor}"
        )
    return grain


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
