"""The worker's half of uploads: a picture from somewhere becomes one of our own making."""

import hashlib
import io
import json
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from demist.drawing import read_metadata
from demist.errors import DataError
from demist.io import files
from demist.io.folders import atomic_folder

FORMATS = ("PNG", "JPEG", "WEBP")
"""What is read. Others are rare on pages, and their decoders are older."""
PIXELS = 2**25
"""At most, which is checked before anything is decoded."""
_RECIPE = 2**18


def reencode(file: Path, folder: Path) -> str:
    """Write a picture as PNG into a folder of its own below `folder`, and return its name.

    What was understood: the first frame, turned upright, in 8 bits of grey, colour, or either with
    transparency. Nothing else of the file is kept, but the recipe if demist wrote one into it.

    Raises:
        DataError: It is no picture, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                width, height, kind = image.width, image.height, str(image.format)
                if width * height > PIXELS:
                    raise DataError(
                        f"the picture has {width} x {height} pixels; at most "
                        f"{PIXELS / 1e6:.0f} million are taken: make it smaller"
                    )
                upright = ImageOps.exif_transpose(image)
                plain = upright.convert(_mode(upright))
    except UnidentifiedImageError:
        raise DataError(f"this is no picture that is read here: {', '.join(FORMATS)}") from None
    except (OSError, ValueError, SyntaxError, IndexError, Image.DecompressionBombError) as error:
        raise DataError(f"the picture is damaged: {error}") from None
    plain.info.clear()
    out = io.BytesIO()
    plain.save(out, "PNG")
    data = out.getvalue()
    name = hashlib.sha256(data).hexdigest()[:24]
    facts = {
        "width": plain.width, "height": plain.height, "mode": plain.mode, "was": kind,
        "recipe": _recipe(file),
    }  # fmt: skip
    if (folder / name).is_dir():
        files.write_json(folder / name / "upload.json", facts)
    else:
        with atomic_folder(folder / name) as new:
            (new / "image.png").write_bytes(data)
            (new / "upload.json").write_text(files.json_text(facts), encoding="utf-8")
    return name


def _mode(image: Image.Image) -> str:
    grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
    clear = image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info
    return ("LA" if clear else "L") if grey else ("RGBA" if clear else "RGB")


def _recipe(file: Path) -> dict[str, Any] | None:
    """The facts that demist wrote into a picture, if they are of a sensible size."""
    try:
        facts = read_metadata(file)
        # What no file can hold, such as half a character, could not be sent on either.
        size = len(json.dumps(facts, ensure_ascii=False, allow_nan=False).encode())
        return facts if size <= _RECIPE else None
    except (DataError, ValueError, RecursionError, Image.DecompressionBombError):
        return None
