"""One encoded image becomes one array, by these rules.

1. The first frame of an animation counts; EXIF orientation is applied; colour profiles are not.
2. With a `size`, the largest centred square is cut out (odd margins leave the extra row or column
   at the bottom or right).
3. Values become 8 bits: a bit is 0 or 255; 16-bit grey v is round(255 v / 65535), as are the
   integers of mode "I" (which must lie in 0..65535); 16-bit colour keeps its high byte, as Pillow
   reads it. Floating-point pixels have no agreed range and are refused.
4. Transparency (an alpha channel, a transparent palette entry or colour) is laid over
   `background`. CMYK and the rest become RGB by Pillow's conversions.
5. An image is grey if it is stored as grey, or with a palette and no coloured pixel, and stays
   grey on a grey background. With `channels` 1, colour becomes luma (ITU-R 601); with 3, grey is
   repeated; with None it stays as it is.
6. With a `size`, the square is resized by an antialiasing Lanczos filter.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from demist.data.files.tree import check_size
from demist.errors import UsageError

MAX_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs; an error here

MAX_SCANNED = 20 * MAX_PIXELS  # pixels times scans, of which a progressive JPEG has about ten
_SCAN = b"\xff\xda"  # begins a scan; within one, 0xff is never followed by this

# EPS starts another program (Ghostscript); the others only recognise a file, or read other data.
_NOT_READ = {"EPS", "WMF", "EMF", "MPEG", "HDF5", "GRIB", "BUFR"}
_FURTHER_ARE_NO_FRAMES = {"PSD", "MPO"}  # layers; previews and depth
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)


@dataclass(frozen=True)
class Rules:
    """What the arrays should look like.

    Attributes:
        size: Height and width, or None to keep them.
        channels: 1 or 3, or None to keep what the image has.
        background: What shows through transparent pixels: a CSS colour name or "#rrggbb".

    Raises:
        UsageError: A value makes no sense.
    """

    size: int | None = None
    channels: int | None = None
    background: str = "white"

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= 4096:
            raise UsageError(f"--size {self.size}: an image is 1 to 4096 pixels wide")
        if self.channels not in (None, 1, 3):
            raise UsageError(f"--channels {self.channels}: choose 1 (grey) or 3 (colour)")
        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            raise UsageError(
                f"--background {self.background!r} is no colour: "
                "use a name such as white, or #rrggbb"
            ) from None

    @property
    def paint(self) -> tuple[int, int, int]:
        """The background as red, green, blue."""
        red, green, blue = ImageColor.getrgb(self.background)[:3]
        return red, green, blue


class Found(NamedTuple):
    """What an image was before it was brought to the rules.

    Attributes:
        sides: Height and width, upright.
        mode: Pillow's.
        transparent: Whether it has transparency.
        frames: Frames or pages.
    """

    sides: tuple[int, int]
    mode: str
    transparent: bool
    frames: int


@cache
def formats() -> tuple[str, ...]:
    """The Pillow formats that are read, in Pillow's order, which tries common ones first."""
    Image.init()
    return tuple(name for name in Image.ID if name not in _NOT_READ)


@cache
def extensions() -> frozenset[str]:
    """Lower-case file extensions that say "image", with the dot."""
    return frozenset(e for e, kind in Image.registered_extensions().items() if kind in formats())


def decode(data: bytes, rules: Rules) -> UInt8[np.ndarray, "c h w"]:
    """Decode an encoded image.

    Raises:
        Exception: Whatever the decoder of a damaged or hostile file happens to raise.
    """
    return examine(data, rules)[0]


def examine(data: bytes, rules: Rules) -> tuple[UInt8[np.ndarray, "c h w"], Found]:
    """Decode an encoded image, and say what it was.

    Raises:
        Exception: Whatever the decoder of a damaged or hostile file happens to raise.
    """
    try:
        opened = Image.open(BytesIO(data), formats=formats())
    except UnidentifiedImageError:  # Pillow names the object, and an address in memory
        raise UnidentifiedImageError("not an image of a kind that is read here") from None
    with opened as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} is over {MAX_PIXELS:,} pixels")
        scans = data.count(_SCAN) if image.format in ("JPEG", "MPO") else 0
        if scans * image.width * image.height > MAX_SCANNED:
            raise ValueError(
                f"{image.width} x {image.height} in {scans} scans takes too long; save it anew"
            )
        width, height = image.size  # before a JPEG is decoded smaller
        if rules.size is not None:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8: three times as fast on photographs. The
            # factor of two leaves the final antialiasing to our filter.
            image.draft(None, (2 * rules.size, 2 * rules.size))
        turned = image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        ImageOps.exif_transpose(image, in_place=True)
        mode, transparent = image.mode, image.has_transparency_data
        pixels = fit(image, rules)
        sides = (width, height) if turned else (height, width)
        return pixels, Found(sides, mode, transparent, _frames(image))


def read_image(
    file: str, channels: int, sides: tuple[int, int] | None
) -> UInt8[np.ndarray, "c h w"]:
    """An image file of the user's, to condition on.

    Args:
        file: Its name.
        channels: 1 or 3.
        sides: Height and width; of a square, another image is cropped and resized. None: its own.

    Raises:
        UsageError: It cannot be read, or has other sides.
    """
    square = sides is not None and sides[0] == sides[1]
    try:
        check_size(Path(file).stat().st_size)
        pixels = decode(
            Path(file).read_bytes(), Rules(sides[0] if sides and square else None, channels)
        )
    except Exception as error:  # a damaged file may make its decoder raise anything
        reason = error.strerror if isinstance(error, OSError) else None
        why = reason or str(error) or type(error).__name__
        raise UsageError(f"cannot read the image {file}: {why}") from None
    pixels = pixels.copy()  # Pillow's may not be written to, of which torch warns
    if sides is not None and pixels.shape[1:] != sides:
        (h, w), (_, height, width) = sides, pixels.shape
        raise UsageError(f"{file} has {width}x{height} pixels, and {w}x{h} are needed: resize it")
    return pixels


def fit(image: Image.Image, rules: Rules) -> UInt8[np.ndarray, "c h w"]:
    """Apply rules 2 to 6 to an open image."""
    if rules.size is not None:
        image = _centre_square(image)
    image = _flatten(image, rules.paint)
    if rules.channels is not None:
        image = image.convert("L" if rules.channels == 1 else "RGB")
    if rules.size is not None and image.size != (rules.size, rules.size):
        image = image.resize((rules.size, rules.size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _frames(image: Image.Image) -> int:
    """How many frames or pages a file has; the image is of no use afterwards."""
    count = 1
    if image.format not in _FURTHER_ARE_NO_FRAMES:
        with suppress(Exception):  # a file whose first frame is sound may end badly
            count = int(getattr(image, "n_frames", 1))
    return count


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _flatten(image: Image.Image, paint: tuple[int, int, int]) -> Image.Image:
    """Eight bits, no transparency, no palette: mode "L" or "RGB"."""
    mode = image.mode
    if mode.startswith("I"):
        return _from_16_bits(image)
    if mode == "F":
        raise ValueError("floating-point pixels have no agreed range")
    grey = mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (*paint, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
        grey = grey and len(set(paint)) == 1
    if grey:
        return image.convert("L")
    image = image.convert("RGB")
    if mode in ("P", "PA") and _is_colourless(image):
        return image.convert("L")
    return image


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("integer pixels outside 0..65535 have no agreed range")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _is_colourless(image: Image.Image) -> bool:
    red, green, blue = np.moveaxis(np.asarray(image), 2, 0)
    return bool((red == green).all() and (green == blue).all())
