"""A small image to be made large, with noise of a level that the network is told."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from demist.conditions.condition import Column, Condition, Draw, Encoded, ReadImage
from demist.conditions.image import images, telling
from demist.errors import UsageError


@dataclass(frozen=True)
class NoisyImage(Condition):
    """A small image as it is, and how much noise is laid over it before the network sees it.

    More noise hides more of what is wrong with the image, and leaves more to be invented. The noise
    is each sample's own, drawn from its seed. The image must be given; guidance leaves it.

    References:
        Ho et al. 2022, "Cascaded Diffusion Models for High Fidelity Image Generation",
        arXiv:2106.15282, section 4 (conditioning augmentation).

    Attributes:
        shape: Of the small image: channels, height, width.
        factor: How many times larger the samples are.
        alpha_bar: How much of the image's variance is left at each level.
        level: The usual level.
        most: The largest level that the network knows.
        drop: 0.
        group: None.
    """

    shape: tuple[int, ...]
    factor: int
    alpha_bar: tuple[float, ...] = field(repr=False)
    level: int = 20
    most: int = 350
    drop: float = 0.0
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "noisy-image"
    usual: ClassVar[bool] = False
    spatial: ClassVar[bool] = True
    kept: ClassVar[bool] = True

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "NoisyImage":
        """Never: it belongs to a published model.

        Raises:
            UsageError: Always.
        """
        raise UsageError("noisy images come with a published model; train with low-resolution")

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`image`: `(n, C, h, w)` in [-1, 1], still without noise; `level`: `(n,)`.

        Args:
            values: Small image(s) as bytes; or a pair of them and the level; or a list of such
                pairs, one for each sample.
            n: Number of samples.

        Raises:
            UsageError: There is no image, it is of another size, or there is no such level.
        """
        if values is None:
            raise UsageError(
                f"this model makes a small image {self.factor} times larger and was given none; "
                f"give one of shape {self.shape}"
            )
        if isinstance(values, list) and any(isinstance(value, tuple) for value in values):
            pairs = [v if isinstance(v, tuple) else (v, self.level) for v in values]
            values = np.stack([image for image, _ in pairs]), [level for _, level in pairs]
        image, level = values if isinstance(values, tuple) else (values, self.level)
        levels = level if isinstance(level, list) else [level] * n
        for one in levels:
            if not isinstance(one, int) or isinstance(one, bool) or not 0 <= one <= self.most:
                raise UsageError(
                    f"a noise level of {one!r}: give a whole number from 0 to {self.most}, usually "
                    f"{self.level}"
                )
        small = images(image, self.shape, n)
        assert small is not None
        return {"image": small, "level": torch.tensor(levels)}

    def sampled(self, encoded: Encoded, draw: Draw, level: float = 0.0) -> Encoded:
        """With the noise of its level."""
        bar = torch.tensor(self.alpha_bar, dtype=torch.float64)[encoded["level"]]
        bar = bar.reshape(-1, 1, 1, 1)
        image = encoded["image"]
        noisy = bar.sqrt().to(image) * image + (1 - bar).sqrt().to(image) * draw(image)
        return {**encoded, "image": noisy}

    def spec(self) -> dict[str, Any]:
        return {"route": "concat", "channels": self.shape[0], "classes": len(self.alpha_bar)}

    def parse(self, text: str, read_image: ReadImage) -> Any:
        """The small image in an image file, perhaps with a level: `a.png` or `a.png,50`.

        One of another size is cut and resized (told).
        """
        file, comma, level = text.rpartition(",")
        c, *sides = self.shape
        read = telling(read_image)
        if comma and level.strip().isdecimal():
            return read(file, c, (sides[0], sides[1])), int(level)
        return read(text, c, (sides[0], sides[1]))

    def sized(self, height: int, width: int) -> "NoisyImage":
        """For samples of this size: the small image is smaller by the factor."""
        small = (self.shape[0], height // self.factor, width // self.factor)
        return replace(self, shape=small)

    def words(self, value: Any) -> str:
        return ""
