"""Files to be edited: one image or a folder of them, their masks, and the names of the results."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demist.data.images.decode import extensions, read_image
from demist.drawing import FORMATS
from demist.editing import masks
from demist.editing.masks import Box, Mask
from demist.errors import MissingError, UsageError

Say = Callable[[str], None]
"""Called with one sentence that the user should know."""

ALPHA = "alpha"
"""In the place of a mask's file: what is transparent in the image itself is made anew."""
LOSSY = (".jpg", ".jpeg", ".gif")
"""Endings of formats that do not keep every byte: results of folders become PNG instead."""


@dataclass(frozen=True)
class Item:
    """One image of those that are to be edited.

    Attributes:
        path: The file.
        name: Below the folder that was named, with slashes; of a single file its own.
        seed: Of its first variant; the next one has the number above, and so on.
        outs: The files that its variants become.
    """

    path: Path
    name: str
    seed: int
    outs: tuple[Path, ...]


def variants(out: Path, n: int) -> tuple[Path, ...]:
    """`out`, or of several variants `out-1`, `out-2`, ..."""
    return (out,) if n == 1 else tuple(out.with_stem(f"{out.stem}-{i + 1}") for i in range(n))


def items_in(folder: Path, out: Path, seed: int, n: int) -> list[Item]:
    """The images of a folder and of those in it, by name; hidden ones are left out.

    The seed of each depends on its name and on no other image. Results keep the name, with the
    ending `.png` where the format would not keep every byte.

    Args:
        folder: Where they are.
        out: Where results go; what is in there is no input.
        seed: Of all.
        n: Variants of each.

    Raises:
        MissingError: There are none.
        UsageError: Two results would have one name.
    """
    names = [
        path.relative_to(folder) for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in extensions() and path.is_file() and not path.is_relative_to(out)
    ]  # fmt: skip
    names = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    if not names:
        raise MissingError(f"there are no images in {folder}; name a folder of images, or an image")
    kept = [name if _is_kept(name) else name.with_suffix(".png") for name in names]
    often = Counter(kept)
    items = []
    for name, result in zip(names, kept, strict=True):
        beside = often[result] > 1 and not _is_kept(name)  # a.jpg beside a.png
        result = name.with_name(f"{name.name}.png") if beside else result
        own = seed_of(seed, name.as_posix())
        items.append(Item(folder / name, name.as_posix(), own, variants(out / result, n)))
    twice = [path for path, k in Counter(p for item in items for p in item.outs).items() if k > 1]
    if twice:
        raise UsageError(f"two images of {folder} would become {twice[0]}; rename one of them")
    return items


def seed_of(seed: int, name: str) -> int:
    """The seed of an image of a folder: 32 bits, hashed."""
    digest = hashlib.blake2b(f"{seed}/image/{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def _is_kept(name: Path) -> bool:
    """Whether a file of this ending is written, with every byte as it is."""
    ending = name.suffix.lower()
    return ending in FORMATS and ending not in LOSSY


@dataclass(frozen=True)
class Masking:
    """Where the masks of images come from, and how they are shaped.

    Attributes:
        file: An image that is white where all is made anew; a folder of such, called as the images
            are; or `ALPHA`. None: there is none.
        boxes: Rectangles that are made anew as well.
        threshold: See `masks.shaped`.
        invert: See `masks.shaped`.
        grow: See `masks.shaped`.
        blur: See `masks.shaped`.
        resize: Whether a mask of another size than its image is resized.
    """

    file: Path | None = None
    boxes: tuple[Box, ...] = ()
    threshold: float | None = None
    invert: bool = False
    grow: int = 0
    blur: float = 0.0
    resize: bool = False

    def __post_init__(self) -> None:
        if self.blur < 0:
            raise UsageError(f"blur {self.blur:g}: give 0 pixels or more")
        if self.threshold is not None and not 0 < self.threshold <= 1:
            raise UsageError(f"threshold {self.threshold:g}: give a number above 0, at most 1")
        shape = (self.threshold, self.invert, self.grow, self.blur, self.resize)
        if shape != (None, False, 0, 0, False) and not self:
            raise UsageError(
                "there is no mask to invert, grow, blur, resize or cut: give --mask or --box"
            )

    def __bool__(self) -> bool:
        return self.file is not None or bool(self.boxes)

    def of(self, item: Item, sides: tuple[int, int], say: Say) -> Mask | None:
        """The mask of one image; None: all is made anew.

        Args:
            item: Which.
            sides: Height and width of the image.
            say: Told what was done to fit.

        Raises:
            MissingError: Its mask is not there.
            UsageError: The mask is of another size, or cannot be read.
        """
        if not self:
            return None
        mask = masks.of_boxes(self.boxes, sides)
        if self.file is not None:
            mask = np.maximum(mask, self._read(item, sides, say))
        return masks.shaped(
            mask, threshold=self.threshold, invert=self.invert, grow=self.grow, blur=self.blur
        )

    def _read(self, item: Item, sides: tuple[int, int], say: Say) -> Mask:
        assert self.file is not None
        if str(self.file) == ALPHA:
            alpha = read_image(str(item.path), 4, None)[3]
            return np.asarray(1 - alpha / np.float32(255), np.float32)
        path = self.file if not self.file.is_dir() else called(self.file, item.name)
        if not path.is_file():
            raise MissingError(f"there is no mask {path} for {item.name}")
        found = np.asarray(read_image(str(path), 1, None)[0] / np.float32(255), np.float32)
        if found.shape == sides:
            return found
        height, width = found.shape
        sizes = f"{path} has {width}x{height} pixels and its image {sides[1]}x{sides[0]}"
        if not self.resize:
            raise UsageError(f"{sizes}; give a mask of the image's size, or add --resize-mask")
        say(f"{sizes}: the mask is resized")
        return masks.resized(found, sides)


def called(folder: Path, name: str) -> Path:
    """The mask of an image in a folder of masks: the same name, with any ending of images."""
    same = folder / name
    if same.is_file():
        return same
    near = sorted(same.parent.glob("*")) if same.parent.is_dir() else []
    fitting = [p for p in near if p.stem == same.stem and p.suffix.lower() in extensions()]
    return fitting[0] if fitting else same
