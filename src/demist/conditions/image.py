"""Images as conditions: an image, an image with a hole, a small image to be made large.

All are given as bytes, `(n, C, H, W)` or one image `(C, H, W)` for all, and encoded to [-1, 1].
"""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from demist.conditions.condition import Column, Condition, Draw, Encoded, ReadImage
from demist.conditions.holes import NUMBERS, holes
from demist.errors import UsageError

ImageRoute = Literal["concat", "residual"]


@dataclass(frozen=True)
class Picture(Condition):
    """An image of the samples' size: edges, a sketch, a depth map, an earlier frame.

    One more channel is 1 where there is no image, which is then 0.

    Attributes:
        shape: Channels, height, width.
        route: `concat` or `residual`.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    shape: tuple[int, ...]
    route: ImageRoute = "concat"
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = "image"
    reads: ClassVar[str] = "image"
    spatial: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Picture":
        _require_images(shape)
        channels, *sides = column.values.shape[1:]
        if tuple(sides) != tuple(shape[1:]):
            (h, w), (height, width) = sides, shape[1:]
            raise UsageError(
                f"its images are {h}x{w} (height x width) and the samples {height}x{width}; bring "
                f"all to one size: --size"
            )
        return cls((channels, *shape[1:]), drop=drop)

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        c, h, w = self.shape
        x = images(values, self.shape, n)
        if x is None:
            return {"image": torch.zeros(n, c, h, w), "unsaid": torch.ones(n, 1, h, w)}
        return {"image": x, "unsaid": torch.zeros(n, 1, h, w)}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "channels": self.shape[0] + 1}

    def parse(self, text: str, read_image: ReadImage) -> np.ndarray:
        """The image in an image file, cropped and resized to fit."""
        c, h, w = self.shape
        return read_image(text, c, (h, w))

    def words(self, value: Any) -> str:
        return ""


@dataclass(frozen=True)
class Masked(Condition):
    """An image with a region to be made anew, and the mask that says where: 1 is anew.

    Nothing said is a mask of ones: all is to be made. Data without masks gets holes that are drawn,
    in training others in every step; see `demist.conditions.holes`.

    Attributes:
        shape: Of the image: channels, height, width.
        route: `concat` or `residual`.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    shape: tuple[int, ...]
    route: ImageRoute = "concat"
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = "masked"
    reads: ClassVar[str] = "mask"
    column: ClassVar[str] = "mask"
    from_samples: ClassVar[bool] = True
    spatial: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "Masked":
        _require_images(shape)
        return cls(shape, drop=drop)

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """The image with its hole, then the mask.

        Args:
            values: A pair of image(s) and mask(s) `(1, H, W)`, of 0 and 1; or an array
                `(n, C + 1, H, W)` of both, the mask last; or None.
            n: Number of samples.
        """
        c, h, w = self.shape
        if values is None:
            return {"image": torch.zeros(n, c, h, w), "mask": torch.ones(n, 1, h, w)}
        if isinstance(values, list) and all(isinstance(pair, tuple) for pair in values):
            values = tuple(np.stack(one) for one in zip(*values, strict=True))
        if not isinstance(values, tuple):
            values = np.asarray(values)
            values = values[..., :c, :, :], values[..., c:, :, :]
        mask = images(values[1], (1, h, w), n)
        x = images(values[0], self.shape, n)
        assert x is not None
        assert mask is not None
        anew = ((mask + 1) * 127.5).round()
        if not ((anew == 0) | (anew == 1)).all():
            raise UsageError("a mask holds 0 (keep) and 1 (make anew) only; this one has others")
        return {"image": x * (1 - anew), "mask": anew}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "channels": self.shape[0] + 1}

    def parse(self, text: str, read_image: ReadImage) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask in two image files, `image.png,mask.png`; white is made anew."""
        c, h, w = self.shape
        image, comma, mask = text.rpartition(",")
        if not comma:
            raise UsageError(f"{text!r}: give an image and its mask, image.png,mask.png")
        anew = (read_image(mask, 1, (h, w)) >= 128).astype(np.uint8)
        return read_image(image, c, (h, w)), anew

    def values(self, column: Column) -> Any:
        """Masks, of which not all may be empty.

        Raises:
            UsageError: None says that anything is to be made anew.
        """
        count = len(column.values)
        if not any((column.values[i : i + 256] >= 128).any() for i in range(0, count, 256)):
            raise UsageError(
                "all its masks are empty (black), so nothing would be learned; white is made anew"
            )
        return column.values

    def beside(self, values: Any, x: np.ndarray) -> tuple[np.ndarray, Any]:
        if values is None:
            u = np.random.default_rng(0).random((len(x), NUMBERS))
            return x, holes(torch.from_numpy(u), self.shape[1], self.shape[2]).numpy()
        return x, (values >= 128).astype(np.uint8)

    def words(self, value: Any) -> str:
        return ""


@dataclass(frozen=True)
class LowResolution(Condition):
    """A small image to be made large: shown enlarged, with noise of a known level.

    In training the small image is made from the sample itself and gets noise of a random level;
    when sampling it gets noise of the level `Sampling.condition_noise`, usually none. So a model
    forgives what an earlier stage got wrong. The last channel is the level, which the network is
    told; -1 stands for no image.

    References:
        Ho et al. 2022, "Cascaded Diffusion Models for High Fidelity Image Generation",
        arXiv:2106.15282, section 4 (conditioning augmentation); Saharia et al. 2022 (Imagen),
        arXiv:2205.11487, section 2.4 (the level is told, and chosen when sampling).

    Attributes:
        shape: Of the samples: channels, height, width.
        factor: How many times smaller the image is.
        noise: Largest standard deviation of the noise, for images in [-1, 1].
        route: `concat` or `residual`.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    shape: tuple[int, ...]
    factor: int = 2
    noise: float = 0.5
    route: ImageRoute = "concat"
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = "low-resolution"
    reads: ClassVar[str] = "image"
    column: ClassVar[str] = "low"
    usual: ClassVar[bool] = False
    from_samples: ClassVar[bool] = True
    spatial: ClassVar[bool] = True
    noisy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.shape[1] % self.factor or self.shape[2] % self.factor:
            raise ValueError(f"sides of {self.shape[1:]} are no multiples of {self.factor}")

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "LowResolution":
        """From small images of the column; or, where these are large, made small by 2."""
        _require_images(shape)
        h, w = column.values.shape[2:]
        factor = shape[1] // h
        if (h, w) != tuple(shape[1:]) and (h * factor, w * factor) != tuple(shape[1:]):
            raise UsageError(
                f"its images are {h}x{w} (height x width), which is no whole part of the samples' "
                f"{shape[1]}x{shape[2]}; leave --size out, or make them so"
            )
        try:
            return cls(shape, max(2, factor), drop=drop)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """Enlarged images and level 0, from small images or from ones of the full size."""
        c, h, w = self.shape
        if values is None:
            return {"image": torch.zeros(n, c, h, w), "level": -torch.ones(n, 1, h, w)}
        sides = np.asarray(values).shape[-2:]
        if sides == (h, w):
            full = images(values, self.shape, n)
            assert full is not None
            small = F.avg_pool2d(full, self.factor)
        else:
            small = images(values, (c, h // self.factor, w // self.factor), n)  # type: ignore[assignment]
        x = F.interpolate(small, scale_factor=self.factor, mode="nearest")
        return {"image": x, "level": torch.zeros(n, 1, h, w)}

    def augment(self, encoded: Encoded, draw: Draw) -> Encoded:
        """Noise on the small image, of a level between 0 and 1 that is given as well."""
        level = torch.special.ndtr(draw(encoded["image"][:, :1, :1, :1]))  # uniform
        return self._with_noise(encoded, level, draw)

    def sampled(self, encoded: Encoded, draw: Draw, level: float = 0.0) -> Encoded:
        """The same with noise of one level; where there is no image, nothing changes."""
        if not level:
            return encoded
        noisy = self._with_noise(encoded, torch.full((1, 1, 1, 1), level), draw)
        there = encoded["level"] >= 0
        return {key: torch.where(there, noisy[key], value) for key, value in encoded.items()}

    def _with_noise(self, encoded: Encoded, level: Tensor, draw: Draw) -> Encoded:
        small = encoded["image"][:, :, :: self.factor, :: self.factor]
        noisy = small + self.noise * level * draw(small)
        large = F.interpolate(noisy, scale_factor=self.factor, mode="nearest")
        return {"image": large, "level": level.expand_as(encoded["level"])}

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "channels": self.shape[0] + 1}

    def parse(self, text: str, read_image: ReadImage) -> np.ndarray:
        """The small image in an image file; one that is larger is made small."""
        c, h, w = self.shape
        small = h // self.factor, w // self.factor
        found = read_image(text, c, None)
        return found if found.shape[1:] in ((h, w), small) else read_image(text, c, small)

    def beside(self, values: Any, x: np.ndarray) -> Any:
        return x if values is None else values

    def words(self, value: Any) -> str:
        return ""


def _require_images(shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise UsageError("an image conditions only images, and this data is not")


def telling(read_image: ReadImage) -> ReadImage:
    """A reader of image files that tells where it cuts and resizes one."""

    def read(file: str, channels: int, sides: tuple[int, int] | None) -> np.ndarray:
        own = read_image(file, channels, None)
        if sides is None or own.shape[1:] == sides:
            return own
        image = read_image(file, channels, sides)
        (h, w), (height, width) = own.shape[1:], sides
        cut = "" if h * width == w * height else "its middle is cut out and "
        warnings.warn(f"{file} has {w}x{h} pixels: {cut}resized to {width}x{height}", stacklevel=3)
        return image

    return read


def images(values: Any, shape: tuple[int, ...], n: int) -> Float[Tensor, "n c h w"] | None:
    """`n` images of `shape` in [-1, 1] from bytes, or None.

    Raises:
        UsageError: Another shape or number of images.
    """
    if values is None:
        return None
    x = torch.as_tensor(np.asarray(values))
    if x.ndim == 3:
        x = x.expand(n, *x.shape)
    if tuple(x.shape) != (n, *shape):
        raise UsageError(
            f"images of shape {tuple(x.shape)} were given for {n} samples; this condition takes "
            f"{shape}, one for all or {n} of them"
        )
    return x.float() / 127.5 - 1
