"""Images that are no samples themselves, but belong to one.

1. `a.mask.png` and `a.cond.png` beside `a.png` are a mask and an image that condition it.
2. `a.input.png` and `a.target.png` are two images of one sample, if nearly all come so; one of them
   is made, the others condition it.
3. `a_mask.png` beside `a.png`, and the images in a folder `masks` beside one called `images`, are
   left out: nobody knows what their values mean.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from demist.data.images.decode import extensions
from demist.data.words import SPLITS, words_of

BESIDE = {"mask": "mask", "cond": "image"}
"""Words before the extension of an image that belongs to another one -> kind of their column."""
_MADE = ("target", "output", "edited", "after", "image", "img", "rgb", "jpg", "png", "photo", "hr")
"""Which of several images of one sample is made, the likeliest first."""
_MASKS = {
    "mask", "masks", "annotation", "annotations", "annot", "segmentation", "segmentations", "seg",
    "segmentationclass", "segmentationobject", "segmentationclassaug", "gt", "groundtruth",
    "ground", "truth", "labels", "label", "trimaps", "trimap", "depth", "depths", "edges", "edge",
    "matte", "mattes", "alpha", "fine", "coarse", "thumb", "thumbs", "anno",
    "thumbnail", "thumbnails", "gtfine", "heatmap",
}  # fmt: skip
_IMAGES = {
    "image", "images", "img", "imgs", "jpegimages", "photo", "photos", "picture", "pictures", "rgb",
    "input", "inputs", "original", "originals", "raw", "jpeg", "jpg", "x", "leftimg", "bit", "hr",
}  # fmt: skip


@dataclass(frozen=True)
class Aside:
    """Images, apart from those that belong to them.

    Attributes:
        samples: Names of the images that are samples.
        columns: Name of a column -> (its kind, sample -> its image).
        keys: Sample -> how files beside it are called, without extension.
        left: Where images are left out -> how many.
        notes: Sentences on what was taken for what.
    """

    samples: tuple[str, ...]
    columns: Mapping[str, tuple[str, Mapping[str, str]]]
    keys: Mapping[str, str]
    left: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_image(name: str) -> bool:
    """Whether a file is called like an image."""
    return posixpath.splitext(name)[1].lower() in extensions()


def set_aside(pictures: Collection[str]) -> Aside:
    """Tell samples from images that belong to one, by the rules above."""
    stems = {posixpath.splitext(name)[0]: name for name in pictures}
    columns: dict[str, tuple[str, dict[str, str]]] = {}
    own: set[str] = set()
    for stem, name in stems.items():
        base, word = posixpath.splitext(stem)
        if word[1:] in BESIDE and base in stems:
            columns.setdefault(word[1:], (BESIDE[word[1:]], {}))[1][stems[base]] = name
            own.add(name)
    left: Counter[str] = Counter()
    folders = {posixpath.dirname(name) for name in pictures}
    masks = {folder: _mask_folder(folder, folders) for folder in folders}
    for stem, name in stems.items():
        place = _mask_of(stem, stems) or masks[posixpath.dirname(name)]
        if name not in own and place:
            left[place] += 1
            own.add(name)
    samples = [name for name in pictures if name not in own]
    if not samples:  # face masks, say: what there is are the samples
        return Aside(tuple(pictures), {}, _keys(pictures))
    groups = _groups(samples)
    if not groups:
        return Aside(tuple(samples), columns, _keys(samples), dict(left))
    words = sorted(next(iter(groups.values())))
    made = next((word for word in _MADE if word in words), words[-1])
    others = [word for word in words if word != made]
    for word in others:
        columns[word] = "image", {group[made]: group[word] for group in groups.values()}
    names = [group[made] for group in groups.values()]
    note = (
        f"Each sample has {len(words)} images, {', '.join(words)}: {made!r} is made, and "
        f"{' and '.join(map(repr, others))} can condition it."
    )
    keys = {group[made]: key for key, group in groups.items()}
    return Aside(tuple(sorted(names)), columns, keys, dict(left), (note,))


def alone(names: Collection[str]) -> Aside:
    """Samples of which none belongs to another."""
    return Aside(tuple(names), {}, _keys(names))


def _keys(names: Collection[str]) -> dict[str, str]:
    return {name: posixpath.splitext(name)[0] for name in names}


_SUFFIX = re.compile(
    r"(.*?)[-_. ]+(" + "|".join(sorted(_MASKS, key=len)[::-1]) + r")([-_ ]?[0-9]+)?"
)


def _mask_of(stem: str, stems: Collection[str]) -> str:
    """`*_mask` if there is an image without that word in its name."""
    folder, base = posixpath.split(stem)
    found = _SUFFIX.fullmatch(base.lower())
    if found and posixpath.join(folder, base[: len(found[1])]) in stems:
        return f"*_{found[2]}"
    return ""


def _mask_folder(folder: str, folders: Collection[str]) -> str:
    """The folder of masks at or above a folder, if images lie beside it."""
    path = folder.split("/")
    for i, part in enumerate(path):
        words = {word.lower() for word in words_of(part)}
        masks = words & _MASKS or part.lower() in _MASKS
        if masks:
            prefix = "".join(f"{parent}/" for parent in path[:i])
            others = {f[len(prefix) :].split("/")[0] for f in folders if f.startswith(prefix)}
            rest = words - _MASKS - SPLITS.keys() - _IMAGES
            shared = {word.lower() for other in others - {part} for word in words_of(other)}
            own = part.lower() in _MASKS or rest <= shared
            if own and _hold_images(others - {part}, alone=prefix[:-1] in folders):
                return "/".join(path[: i + 1]) + "/"
    return ""


def _hold_images(folders: Collection[str], *, alone: bool) -> bool:
    """Whether one of these folders, beside one of masks, is called like one of images.

    Args:
        folders: Their names; "" stands for the images that lie in none.
        alone: Whether there are such images.
    """
    known = {folder: {word.lower() for word in words_of(folder)} for folder in folders}
    rest = [words for f, words in known.items() if not (words & _MASKS or f.lower() in _MASKS)]
    named = any(words & (_IMAGES | SPLITS.keys()) for words in rest)
    return named or (alone and not any(rest))


def _groups(samples: Collection[str]) -> dict[str, dict[str, str]]:
    """Key -> word -> image, if nearly all images are called `KEY.WORD.png` with the same words."""
    groups: dict[str, dict[str, str]] = {}
    for name in samples:
        folder, base = posixpath.split(posixpath.splitext(name)[0])
        key, dot, word = base.rpartition(".")
        if not dot or not re.fullmatch(r"[A-Za-z][A-Za-z_]*[0-9]?", word):
            return {}
        groups.setdefault(posixpath.join(folder, key), {})[word] = name
    kinds = {frozenset(group) for group in groups.values()}
    one = len(kinds) == 1 and len(groups) > 1
    return groups if one and 1 < len(next(iter(kinds))) <= 6 else {}
