"""What people do with single pictures of a job: favourites, and those in the bin.

Both are files beside the picture, so that they move with its job and survive a restart:
`image-003.favourite`, and `binned-003.png` in place of `image-003.png`.
"""

import re
from pathlib import Path

from demist.errors import MissingError
from demist.io import files

_PICTURE = re.compile(r"image-(\d{3,6})\.png|page\.png")


def mark(folder: Path, name: str, favourite: bool | None, binned: bool | None) -> None:
    """Change what is said of a picture; None leaves it.

    Args:
        folder: Of its job.
        name: `image-003.png`, in the bin too, or `page.png`.
        favourite: Whether it is one.
        binned: Whether it is in the bin; a page stays with its job.

    Raises:
        MissingError: There is no such picture.
    """
    found = _PICTURE.fullmatch(name)
    number = found[1] if found else None
    kept, thrown = folder / name, folder / f"binned-{number}.png"
    if found is None or not (kept.is_file() or (number and thrown.is_file())):
        raise MissingError(f"this job has no picture {name[:40]!r}")
    if favourite is not None:
        sign = folder / f"{Path(name).stem}.favourite"
        if favourite:
            files.write_bytes(sign, b"")
        else:
            sign.unlink(missing_ok=True)
    if binned is not None and number is not None:
        here, there = (kept, thrown) if binned else (thrown, kept)
        if here.is_file():
            here.rename(there)
            files.sync(folder)
