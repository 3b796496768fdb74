"""What people call columns and splits: the one list that every reader goes by."""

import re
from collections.abc import Collection

from demist.errors import DataError, UsageError

FILES = (
    "file_name", "filename", "file", "image", "image_path", "image_name", "image_file", "img",
    "img_path", "path", "file_path", "filepath", "audio", "sound", "wav",
    "recording", "image_id", "id",
)  # fmt: skip
"""Columns that name an image or a sound, the usual one first."""
TEXTS = ("text", "caption", "prompt", "captions", "texts", "prompts", "description", "sentences")
"""Columns of captions."""
LABELS = ("label", "class", "target", "class_name", "label_name", "category", "labels", "classes")
"""Columns of classes."""
PARTS = ("split", "set", "subset", "partition", "phase", "fold_name", "usage")
"""Columns that say the split."""

_SYNONYMS = {
    "train": ("train", "training", "trainset", "trainval"),
    "valid": ("valid", "validation", "val", "dev", "valset"),
    "test": ("test", "testing", "eval", "evaluation", "testset"),
}
SPLITS = {word: split for split, words in _SYNONYMS.items() for word in words}


def pick(headers: Collection[str], known: tuple[str, ...], chosen: str | None = None) -> str | None:
    """Which of the columns `headers` is meant: the one that was chosen, or the first known name.

    Capitals and spaces around a header do not count.
    """
    if chosen is not None and chosen in headers:
        return chosen
    plain = {header.strip().lower().replace(" ", "_"): header for header in reversed([*headers])}
    return next((plain[name] for name in ((chosen,) if chosen else known) if name in plain), None)


def words_of(name: str) -> list[str]:
    """The words of a name, as it stands there: `train`, `A` of `trainA_2017`."""
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_A-Za-z]+", name)


def split_word(name: str) -> str:
    """The split that a name speaks of, as `photos-val-0001.tar` does; "" for none."""
    words = [word.lower() for word in words_of(name)]
    return next((SPLITS[word] for word in words if word in SPLITS), "")


def without_split(name: str) -> str:
    """What else a name says: `A` of `trainA`, `cats` of `cats_train2`, "" of `training_set`."""
    words = [w for w in words_of(name) if w.lower() not in SPLITS and w.lower() not in _EMPTY]
    return "_".join(words)


_EMPTY = {
    "set", "data", "dataset", "split", "images", "image", "imgs", "img", "photos", "pictures",
    "new", "final", "full", "all", "folder", "dir", "x", "the", "my", "public", "private",
}  # fmt: skip
"""Words beside that of a split that say nothing."""


def canonical_split(word: str) -> str:
    """The split that `word` means: train, valid or test."""
    if word.lower() not in SPLITS:
        raise UsageError(f"there is no split {word!r}: choose train, valid or test")
    return SPLITS[word.lower()]


def require_split(split: str, found: Collection[str], name: str) -> None:
    """Raise DataError if `split` is not among those `found` in the data set `name`."""
    if split not in found:
        raise DataError(f"{name} has no split {split!r}; it has {', '.join(sorted(found))}")
