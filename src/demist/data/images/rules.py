"""What images should look like when they are read."""

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import ImageColor

from demist.data.images.levels import Levels
from demist.errors import UsageError
from demist.io.notation import parse_range, parse_sides

FITS = ("crop", "pad", "squash", "random")
"""How an image of another shape is brought to a size."""
CUTS = ("crop", "random")
"""Those that cut parts off."""


@dataclass(frozen=True)
class Rules:
    """What the arrays should look like.

    Attributes:
        size: Side of a square, or height and width as `"48x64"` or `(48, 64)`; None keeps them.
        channels: 1, 3 or 4, or None to keep what the image has, transparency left out.
        background: What shows through transparent pixels: a CSS colour name or "#rrggbb".
        fit: How another shape is brought to `size`: crop, random, pad or squash.
        range: What becomes black and white, as `"0:4095"`.
        buckets: Heights and widths, to the nearest of which in shape images are brought instead.
        sizes: Whether it is told what was done to each image; see `demist.data.images.told`.
        deep: The same for numbers that are not bytes, where `range` says nothing: what a reader
            found in all of the data set.
        seed: Of the places where `fit` random cuts.

    Raises:
        UsageError: A value makes no sense.
    """

    size: int | str | tuple[int, int] | None = None
    channels: int | None = None
    background: str = "white"
    fit: str = "crop"
    range: str | None = None
    deep: Levels | None = None
    buckets: tuple[tuple[int, int], ...] = ()
    sizes: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("size", "range"):
            try:
                _ = self.sides if name == "size" else self.levels
            except UsageError as error:
                raise UsageError(f"--{name} {getattr(self, name)}: {error}") from None
        if self.sides and not all(1 <= side <= 4096 for side in self.sides):
            raise UsageError(f"--size {self.size}: an image is 1 to 4096 pixels wide and high")
        if not all(1 <= side <= 4096 for sides in self.buckets for side in sides):
            raise UsageError(f"--buckets {self.buckets}: sides are of 1 to 4096 pixels")
        if self.channels not in (None, 1, 3, 4):
            raise UsageError(
                f"--channels {self.channels}: choose 1 (grey), 3 (colour) or 4 (with transparency)"
            )
        if self.fit not in FITS:
            raise UsageError(f"--fit {self.fit}: choose {', '.join(FITS)}")
        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            raise UsageError(
                f"--background {self.background!r} is no colour: "
                "use a name such as white, or #rrggbb"
            ) from None

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width, or None to keep them."""
        return None if self.size is None else parse_sides(self.size)

    def place(self, data: bytes) -> tuple[float, float] | None:
        """Where an image is cut, from the top and from the left, each in [0, 1); None: the middle.

        It depends on the seed and on what the image is, not on its name or number.

        Args:
            data: The file, or the pixels of what is no file.
        """
        if self.fit != "random":
            return None
        digest = hashlib.blake2b(f"{self.seed}/".encode(), digest_size=16)
        digest.update(data)
        top, left = np.frombuffer(digest.digest(), "<u8") >> 11
        return float(top) / 2**53, float(left) / 2**53

    def of(self, sides: tuple[int, int]) -> "Rules":
        """The rules for an image of this height and width: of its bucket, if there are any."""
        if not self.buckets:
            return self
        ratio = math.log(sides[1] / sides[0])
        away = [abs(math.log(w / h) - ratio) for h, w in self.buckets]
        return replace(self, size=self.buckets[away.index(min(away))], buckets=())

    @property
    def levels(self) -> Levels | None:
        """What becomes 0 and 255, or None if that is not given."""
        return None if self.range is None else parse_range(self.range)

    @property
    def paint(self) -> tuple[int, int, int]:
        """The background as red, green, blue."""
        red, green, blue = ImageColor.getrgb(self.background)[:3]
        return red, green, blue
