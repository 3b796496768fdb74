"""One encoded image becomes one array, by these rules.

1. The first frame of an animation counts; EXIF orientation is applied; colour profiles are not.
2. With a `size`, the largest centred part of that shape is cut out (odd margins leave the extra row
   or column at the bottom or right), with `fit` "random" one that lies anywhere; or all is kept,
   with "pad" between margins of the background, with "squash" out of proportion.
3. Values become 8 bits: a bit is 0 or 255; of numbers that are not bytes the `range` becomes 0 to
   255, rounded; without one 16-bit grey v is round(255 v / 65535), and fractions are refused (for a
   data set, see `levels`); 16-bit colour keeps its high byte, as Pillow reads it. A `range` holds
   for bytes, too.
4. Transparency (an alpha channel, a transparent palette entry or colour) is laid over
   `background`, unless `channels` is 4. CMYK and the rest become RGB by Pillow's conversions.
5. An image is grey if it is stored as grey, or with a palette and no coloured pixel, and stays
   grey on a grey background. With `channels` 1, colour becomes luma (ITU-R 601); with 3, grey is
   repeated; with 4, so it is, and what has no transparency is opaque; with None it stays as it is.
6. With a `size`, the image is resized by an antialiasing Lanczos filter.
"""

from contextlib import suppress
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from demist.data.files.tree import MAX_FILE
from demist.data.images.levels import WHOLE, Levels, to_bytes
from demist.data.images.rules import CUTS, Rules
from demist.errors import UsageError
from demist.io.untrusted import read_small

MAX_PIXELS = 89_478_485  # where Pillow begins to warn of decompression bombs; an error here

MAX_SCANNED = 20 * MAX_PIXELS  # pixels times scans, of which a progressive JPEG has about ten
_SCAN = b"\xff\xda"  # begins a scan; within one, 0xff is never followed by this

# EPS starts another program (Ghostscript); the others only recognise a file, or read other data.
_NOT_READ = {"EPS", "WMF", "EMF", "MPEG", "HDF5", "GRIB", "BUFR"}
_FURTHER_ARE_NO_FRAMES = {"PSD", "MPO"}  # layers; previews and depth
_DEEP = ("I", "F")
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)


class Found(NamedTuple):
    """What an image was before it was brought to the rules.

    Attributes:
        sides: Height and width, upright.
        mode: Pillow's.
        transparent: Whether it has transparency.
        frames: Frames or pages.
        cut: Share of the height that was cut off above, and of the width on the left.
    """

    sides: tuple[int, int]
    mode: str
    transparent: bool
    frames: int
    cut: tuple[float, float] = (0.0, 0.0)


class Deep(Exception):
    """An image of numbers that are not bytes, where no range is given.

    Attributes:
        low: Its smallest number.
        high: Its largest.
        whole: Whether they are integers.
    """

    def __init__(self, low: float, high: float, whole: bool) -> None:
        super().__init__("numbers that are not bytes, without a range")
        self.low, self.high, self.whole = low, high, whole


@cache
def formats() -> tuple[str, ...]:
    """The Pillow formats that are read, in Pillow's order, which tries common ones first."""
    with suppress(ImportError):  # photographs of phones: HEIC is no part of Pillow
        import pillow_heif

        pillow_heif.register_heif_opener()
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
    try:
        return examine(data, rules)[0]
    except Deep as deep:
        if not deep.whole:
            raise ValueError("floating-point pixels have no agreed range: give a range") from None
        if deep.low < 0 or deep.high > WHOLE[-1][1]:
            raise ValueError("integer pixels outside 0..65535 have no agreed range") from None
        return examine(data, replace(rules, deep=WHOLE[-1]))[0]


def examine(data: bytes, rules: Rules) -> tuple[UInt8[np.ndarray, "c h w"], Found]:
    """Decode an encoded image, and say what it was.

    Raises:
        Deep: It has numbers that are not bytes, and the rules give no range.
        Exception: Whatever the decoder of a damaged or hostile file happens to raise.
    """
    try:
        opened = Image.open(BytesIO(data), formats=formats())
    except UnidentifiedImageError:  # Pillow names the object, and an address in memory
        raise UnidentifiedImageError("not an image of a kind that is read here") from None
    with opened as image:
        width, height = image.size
        if rules.buckets:
            lies = image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
            rules = rules.of((width, height) if lies else (height, width))
        if rules.sides is not None:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8: three times as fast on photographs, and in
            # less memory. The factor of two leaves the final antialiasing to our filter.
            image.draft(None, (2 * rules.sides[1], 2 * rules.sides[0]))
        whole = image.info.get("progressive")  # such a JPEG needs memory for all its pixels
        if (width * height if whole else image.width * image.height) > MAX_PIXELS:
            smaller = image.format == "JPEG" and not whole and rules.sides is None
            advice = "; with --size it can be decoded smaller" if smaller else ""
            raise ValueError(f"{width} x {height} is over {MAX_PIXELS:,} pixels{advice}")
        scans = data.count(_SCAN) if image.format in ("JPEG", "MPO") else 0
        if scans * width * height > MAX_SCANNED:
            raise ValueError(f"{width} x {height} in {scans} scans takes too long; save it anew")
        turned = image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        ImageOps.exif_transpose(image, in_place=True)
        mode, transparent = image.mode, image.has_transparency_data
        if mode[0] in _DEEP:
            values = np.asarray(image)
            if not np.isfinite(values).all():
                raise ValueError("pixels that are infinite or not a number")
            if rules.levels is None and rules.deep is None:
                raise Deep(float(values.min()), float(values.max()), mode[0] == "I")
        place = rules.place(data)
        pixels, cut = fit(image, rules, place), cut_of(image, rules, place)
        sides = (width, height) if turned else (height, width)
        return pixels, Found(sides, mode, transparent, _frames(image), cut)


def read_image(
    file: str, channels: int, sides: tuple[int, int] | None
) -> UInt8[np.ndarray, "c h w"]:
    """An image file of the user's, to condition on.

    Args:
        file: Its name.
        channels: 1, 3 or 4.
        sides: Height and width; of a square, another image is cropped and resized. None: its own.

    Raises:
        UsageError: It cannot be read, or has other sides.
    """
    square = sides is not None and sides[0] == sides[1]
    try:
        data = read_small(file, MAX_FILE)
        pixels = decode(data, Rules(sides[0] if sides and square else None, channels))
    except Exception as error:  # a damaged file may make its decoder raise anything
        reason = error.strerror if isinstance(error, OSError) else None
        why = reason or str(error) or type(error).__name__
        raise UsageError(f"cannot read the image {file}: {why}") from None
    pixels = pixels.copy()  # Pillow's may not be written to, of which torch warns
    if sides is not None and pixels.shape[1:] != sides:
        (h, w), (_, height, width) = sides, pixels.shape
        raise UsageError(f"{file} has {width}x{height} pixels, and {w}x{h} are needed: resize it")
    return pixels


def fit(
    image: Image.Image, rules: Rules, place: tuple[float, float] | None = None
) -> UInt8[np.ndarray, "c h w"]:
    """Apply rules 2 to 6 to an open image; `place` is where it is cut, see `Rules.place`."""
    sides = rules.sides
    if sides is not None and rules.fit in CUTS:
        image = image.crop(_part(image.size, sides, place))
    image = _flatten(image, rules)
    if rules.channels is not None:
        image = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[rules.channels])
    if sides is not None and image.size != sides[::-1]:
        if rules.fit == "pad":
            image = _padded(image, rules, sides)
        else:
            image = image.resize(sides[::-1], Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _frames(image: Image.Image) -> int:
    """How many frames or pages a file has; the image is of no use afterwards."""
    count = 1
    if image.format not in _FURTHER_ARE_NO_FRAMES:
        with suppress(Exception):  # a file whose first frame is sound may end badly
            count = int(getattr(image, "n_frames", 1))
    return count


def cut_of(
    image: Image.Image, rules: Rules, place: tuple[float, float] | None
) -> tuple[float, float]:
    """What `fit` cuts off above and on the left, as shares of height and width."""
    if rules.sides is None or rules.fit not in CUTS:
        return 0.0, 0.0
    left, top, _, _ = _part(image.size, rules.sides, place)
    return top / image.height, left / image.width


def _part(
    size: tuple[int, int], sides: tuple[int, int], place: tuple[float, float] | None
) -> tuple[int, int, int, int]:
    """The largest part in the shape of `sides`, centred or at a place: left, top, right, bottom."""
    (width, height), (h, w) = size, sides
    if width * h > height * w:
        w, h = max(1, round(height * w / h)), height
    else:
        w, h = width, max(1, round(width * h / w))
    left, top = (width - w) // 2, (height - h) // 2
    if place is not None:
        top, left = int(place[0] * (height - h + 1)), int(place[1] * (width - w + 1))
    return left, top, left + w, top + h


def _padded(image: Image.Image, rules: Rules, sides: tuple[int, int]) -> Image.Image:
    """All of the image within `sides`, the rest in the colour of the background."""
    height, width = sides
    scale = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize(inner, Image.Resampling.LANCZOS)
    if inner == (width, height):
        return image
    grey = len(set(rules.paint)) == 1
    if image.mode == "L" and not grey and rules.channels is None:
        image = image.convert("RGB")
    paint = Image.new("RGB", (width, height), rules.paint).convert(image.mode)
    if image.mode == "RGBA":
        paint.putalpha(0)
    paint.paste(image, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return paint


def _flatten(image: Image.Image, rules: Rules) -> Image.Image:
    """Eight bits, no palette, mode "L" or "RGB"; or "RGBA", if four channels are wanted."""
    mode, paint = image.mode, rules.paint
    if mode[0] in _DEEP:
        levels = rules.levels or rules.deep or WHOLE[-1]
        return Image.fromarray(to_bytes(np.asarray(image), levels))
    grey = mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if rules.channels == 4:
            return _stretched(image, rules.levels)
        ground = Image.new("RGBA", image.size, (*paint, 255))
        image = Image.alpha_composite(ground, image)
        grey = grey and len(set(paint)) == 1
    image = image.convert("L" if grey else "RGB")
    if mode in ("P", "PA") and _is_colourless(image):
        image = image.convert("L")
    return _stretched(image, rules.levels)


def _stretched(image: Image.Image, levels: Levels | None) -> Image.Image:
    """Bytes by another range; transparency stays."""
    if levels is None or levels == WHOLE[0]:
        return image
    table = to_bytes(np.arange(256), levels).tolist()
    alpha = list(range(256)) if image.mode == "RGBA" else []
    return image.point(table * min(3, len(image.getbands())) + alpha)


def _is_colourless(image: Image.Image) -> bool:
    red, green, blue = np.moveaxis(np.asarray(image), 2, 0)
    return bool((red == green).all() and (green == blue).all())
