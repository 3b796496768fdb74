"""Which image a word in a list names."""

import posixpath
from collections.abc import Iterable
from typing import Any

from demist.data.words import split_word


class Finder:
    """Finds the image that a word names."""

    def __init__(self, images: Iterable[str]) -> None:
        self._images = set(images)
        self._ends: dict[str, list[str]] = {}
        for name in self._images:
            base = posixpath.basename(name)
            for end in {base, posixpath.splitext(base)[0]}:
                self._ends.setdefault(end, []).append(name)

    def find(self, word: Any, folder: str = "", split: str = "") -> str | None:
        """The image, or None.

        Args:
            word: What stands in the list.
            folder: Where the list lies.
            split: Of which the list speaks; of images of the same name that of this split is meant.
        """
        if not isinstance(word, str | int) or isinstance(word, bool) or not str(word).strip():
            return None
        path = str(word).strip().replace("\\", "/")
        name = posixpath.normpath(posixpath.join(folder, path))
        if name in self._images:
            return name
        found = self._ends.get(posixpath.basename(path), [])
        end = "/" + path.lstrip("./")
        if "/" in path:
            ended = [n for n in found if f"/{n}".endswith(end) or f"/{bare(n)}".endswith(end)]
            found = ended or (found if path.startswith("/") or ":" in path else [])
        found = [n for n in found if n.startswith(f"{folder}/")] or found if folder else found
        if len(found) > 1 and split:
            found = [n for n in found if split in map(split_word, n.split("/")[:-1])]
        return found[0] if len(found) == 1 else None


def bare(name: str) -> str:
    """A name without its ending."""
    return posixpath.splitext(name)[0]
