"""Files of images: PNG with facts inside, GIF and WebP films."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, PngImagePlugin

from demist.errors import CannotCreateError, DataError, UsageError
from demist.io.files import atomic

KEY = "demist"


def save_png(
    image: Image.Image, path: str | os.PathLike[str], metadata: dict[str, Any] | None = None
) -> None:
    """Write a PNG, atomically; `metadata` goes as JSON into its text chunk named "demist".

    Raises:
        CannotCreateError: The folder does not exist or cannot be written.
    """
    info = PngImagePlugin.PngInfo()
    if metadata is not None:
        info.add_text(KEY, json.dumps(metadata))
    write(path, lambda file: image.save(file, "PNG", optimize=True, pnginfo=info))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The facts that `save_png` put into an image.

    Raises:
        DataError: Not a PNG, or one without such facts.
    """
    try:
        with Image.open(path) as image:
            facts: dict[str, Any] = json.loads(image.info[KEY])
            return facts
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not an image made by demist: it has no text named {KEY!r}"
        ) from error


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
    formats = {".gif": "GIF", ".webp": "WEBP"}
    ending = Path(path).suffix.lower()
    if ending not in formats:
        raise UsageError(f"a film cannot be written as {str(path)!r}; end it in .gif or .webp")
    if not frames:
        raise UsageError("a film needs at least one frame; none was given")
    durations = [round(1000 / fps)] * (len(frames) - 1) + [round(1000 * hold)]
    first, *rest = frames
    options = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    write(path, lambda file: first.save(file, formats[ending], **options))


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
