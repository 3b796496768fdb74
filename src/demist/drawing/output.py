"""Files of images, with facts inside where the format can hold them; GIF and WebP films."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from demist.errors import CannotCreateError, DataError, UsageError
from demist.io.files import atomic

KEY = "demist"
FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
"""Ending of a file -> the format in which an image is written."""
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"},
    "GIF": {},
}  # fmt: skip
FILMS = {".gif": "GIF", ".webp": "WEBP"}
"""The same for a film."""
_DESCRIPTION = 0x010E
"""Tag of EXIF and TIFF for what is said of an image."""
_EXIF, _COMMENT = 0x8769, 0x9286
"""Tags of EXIF for its own table, and in it for a comment, where A1111 writes in a JPEG."""


def format_of(path: str | os.PathLike[str], formats: Mapping[str, str] = FORMATS) -> str:
    """The format that the ending of `path` asks for.

    Raises:
        UsageError: It is none of `formats`.
    """
    ending = Path(path).suffix.lower()
    if ending not in formats:
        what = "a film" if formats is FILMS else "an image"
        raise UsageError(
            f"{what} cannot be written as {os.fspath(path)!r}; end it in {' or '.join(formats)}"
        )
    return formats[ending]


def save_image(
    image: Image.Image,
    path: str | os.PathLike[str],
    metadata: dict[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write an image in the format of its ending, atomically; `read_metadata` reads the facts.

    A JPEG and a GIF keep the pixels only nearly.

    Args:
        image: RGB.
        path: Where to; see `FORMATS`.
        metadata: Facts, as JSON.
        texts: Further texts by name, which only a PNG keeps.

    Raises:
        UsageError: The ending is of another format.
        CannotCreateError: The folder does not exist or cannot be written.
    """
    kind = format_of(path)
    if kind == "PNG":
        save_png(image, path, metadata, texts)
        return
    text = None if metadata is None else json.dumps(metadata)
    options = dict(_OPTIONS[kind])
    if text is not None and kind == "GIF":
        options["comment"] = text.encode()
    elif text is not None and (kind != "JPEG" or len(text) < 65_000):  # all that a JPEG can hold
        exif = Image.Exif()
        exif[_DESCRIPTION] = text
        options["exif"] = exif
    write(path, lambda file: image.save(file, kind, **options))


def save_png(
    image: Image.Image,
    path: str | os.PathLike[str],
    metadata: dict[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a PNG, atomically; `metadata` goes as JSON into its text chunk named "demist".

    Args:
        image: RGB.
        path: Where to.
        metadata: Facts, as JSON.
        texts: Further texts by name.

    Raises:
        CannotCreateError: The folder does not exist or cannot be written.
    """
    info = PngImagePlugin.PngInfo()
    if metadata is not None:
        info.add_text(KEY, json.dumps(metadata))
    for key, text in (texts or {}).items():
        info.add_itxt(key, text)
    write(path, lambda file: image.save(file, "PNG", optimize=True, pnginfo=info))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The facts that `save_image` or `save_png` put into an image.

    Raises:
        DataError: Not an image, or one without such facts.
    """
    try:
        with Image.open(path) as image:
            text = image.info.get(KEY) or image.getexif().get(_DESCRIPTION)
            facts = json.loads(text or image.info["comment"])
            if not isinstance(facts, dict):
                raise ValueError("no facts")
            return facts
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not an image made by demist: it has no text named {KEY!r}"
        ) from error


def read_texts(path: str | os.PathLike[str]) -> dict[str, str]:
    """All texts in an image by name, whoever wrote them: ours, A1111's, ComfyUI's.

    Raises:
        DataError: Not an image.
    """
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            found: dict[Any, Any] = dict(image.info)
            found[KEY] = found.get(KEY) or exif.get(_DESCRIPTION)
            comment = exif.get_ifd(_EXIF).get(_COMMENT)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{os.fspath(path)} is not an image: {error}") from None
    if isinstance(comment, bytes) and comment.startswith(b"UNICODE\0"):
        found["parameters"] = comment[8:].decode("utf-16-be", "replace")
    if isinstance(found.get("comment"), bytes):
        found[KEY] = found["comment"].decode("utf-8", "replace")
    return {key: text for key, text in found.items() if isinstance(text, str) and text.strip()}


def animation(
    frames: Sequence[Image.Image],
    path: str | os.PathLike[str],
    fps: float = 12,
    hold: float = 1.5,
) -> None:
    """Write frames as an endless film; the ending of `path` chooses .gif or .webp.

    Args:
        frames: Images of one size.
        path: Where to write.
        fps: Frames per second.
        hold: Seconds the last frame stays.

    Raises:
        UsageError: No frames, or another ending.
        CannotCreateError: The folder does not exist or cannot be written.
    """
    kind = format_of(path, FILMS)
    if not frames:
        raise UsageError("a film needs at least one frame; none was given")
    durations = [round(1000 / fps)] * (len(frames) - 1) + [round(1000 * hold)]
    first, *rest = frames
    options = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    write(path, lambda file: first.save(file, kind, **options))


def write(path: str | os.PathLike[str], save: Callable[[BinaryIO], object]) -> None:
    """Let `save` fill a file, atomically.

    Raises:
        CannotCreateError: The folder does not exist or cannot be written.
    """
    path = Path(path)
    try:
        with atomic(path) as temporary, open(temporary, "wb") as file:
            save(file)
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError) as error:
        raise CannotCreateError(
            f"cannot write {path}: {error.strerror}; name a file in a folder that exists and is "
            "yours to write"
        ) from error
