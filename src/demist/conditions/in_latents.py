"""Images as conditions of a model in latents: they go through the model's own codec."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demist.conditions.condition import Column, Condition, Draw, Encoded, ReadImage
from demist.conditions.image import LowResolution, Masked, Picture, telling
from demist.errors import UsageError


@runtime_checkable
class ToLatents(Protocol):
    """What is needed of a codec; see `demist.codecs.Codec`."""

    def encode(self, x: Tensor) -> Tensor:
        """Images as stored, 0 to 255, to latents: their mean, so that nothing is drawn."""

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the latents of one image."""


def as_stored(parts: Encoded) -> Tensor:
    """The image of a condition in pixels, `(n, C, H, W)`, as codecs take it."""
    return (parts["image"] + 1) * 127.5


@dataclass(frozen=True)
class InLatents(Condition):
    """An image, or one with a hole, that a network in latents is given as latents.

    The mask of a hole is shown at the size of the latents: of each block of pixels the first one.
    A small image is enlarged, encoded, and gets its noise as latents, of which `inner.noise` is the
    largest standard deviation then. It is made of a condition in pixels, which training does where
    a model has a codec.

    Attributes:
        inner: What the user gives, in pixels.
        coder: The codec; its own scale is that of the image's latents.
        hidden: Whether guidance leads away from no image, zeros; else from the same image.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    inner: Picture | Masked | LowResolution
    coder: ToLatents = field(repr=False)
    hidden: bool = False
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "image-in-latents"
    usual: ClassVar[bool] = False
    spatial: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "InLatents":
        """Never: it is made of a condition in pixels.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "images in latents are what image and masked become with --codec; name one of these"
        )

    @property
    def in_pixels(self) -> Picture | Masked | LowResolution:
        return self.inner

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`image`: latents `(n, k, h, w)`; with it a hole's `mask` or a small image's `level`.

        Raises:
            UsageError: Another shape or number of images.
        """
        if self._small is not None and values is None:
            return self._small.encode(None, n)
        k, h, w = self.coder.state_shape(self.inner.shape)
        parts = self.inner.encode(values, n)
        if "mask" not in parts and values is None:
            return {"image": torch.zeros(n, k, h, w)}
        image = as_stored(parts)
        alike = bool((image == image[:1]).all())
        z = self.coder.encode(image[:1] if alike else image).expand(n, k, h, w)
        return self.told(z, parts.get("mask"))

    def told(self, z: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """What the network is given.

        Args:
            z: Latents `(n, k, h, w)`.
            mask: Of their images `(n, 1, H, W)`; None: they have no holes.
        """
        if self._small is not None:
            return {"image": z, "level": torch.zeros_like(z[:, :1])}
        if mask is None:
            return {"image": z}
        return {"mask": F.interpolate(mask, z.shape[2:]).to(z.device), "image": z}

    def null(self) -> dict[str, Tensor] | None:
        return self.encode(None, 1) if self.hidden else None

    def spec(self) -> dict[str, Any]:
        channels = self.coder.state_shape(self.inner.shape)[0]
        more = not isinstance(self.inner, Picture)
        return {"route": self.inner.route, "channels": channels + more}

    def parse(self, text: str, read_image: ReadImage) -> Any:
        """As the same in pixels; an image of another size is cut and resized (told)."""
        return self.inner.parse(text, telling(read_image))

    def sized(self, height: int, width: int) -> "InLatents":
        """For images of this size."""
        try:
            inner = replace(self.inner, shape=(self.inner.shape[0], height, width))
        except ValueError as error:
            raise UsageError(str(error)) from None
        return replace(self, inner=inner)

    @property
    def _small(self) -> LowResolution | None:
        """The condition of the latents of a small image: what noise they get, and its level."""
        if not isinstance(self.inner, LowResolution):
            return None
        return replace(self.inner, shape=self.coder.state_shape(self.inner.shape), factor=1)

    def augment(self, encoded: Encoded, draw: Draw) -> Encoded:
        return encoded if self._small is None else self._small.augment(encoded, draw)

    def sampled(self, encoded: Encoded, draw: Draw, level: float = 0.0) -> Encoded:
        return encoded if self._small is None else self._small.sampled(encoded, draw, level)

    def values(self, column: Column) -> Any:
        return self.inner.values(column)

    def beside(self, values: Any, x: np.ndarray) -> Any:
        return self.inner.beside(values, x)

    def words(self, value: Any) -> str:
        return ""
