"""Lists of the images of each split: `train.txt` and `test.txt`, as VOC and Food-101 have them."""

import posixpath
from collections.abc import Sequence

from demist.data.files.tree import Tree, read
from demist.data.images.finder import Finder
from demist.data.words import SPLITS

_LARGEST = 2**26  # bytes


def divided_by_lists(
    tree: Tree, images: Sequence[str]
) -> tuple[dict[str, str], tuple[str, ...]] | None:
    """Image -> split, and the lists that say it; None if there are none.

    Lists of one folder count, those that name most images. A line names an image, or begins or
    ends with its name.
    """
    folders: dict[str, dict[str, str]] = {}
    for name in tree.names:
        folder, base = posixpath.split(name)
        stem, ending = posixpath.splitext(base.lower())
        word = stem.removesuffix("list").strip("_-")
        if ending in (".txt", ".lst") and word in SPLITS:
            folders.setdefault(folder, {})[name] = word
    finder = Finder(images)
    best: tuple[dict[str, str], tuple[str, ...]] | None = None
    for words in folders.values():
        splits: dict[str, str] = {}
        whole = "train" not in words.values()  # else trainval says nothing new
        lists = {n: SPLITS[word] for n, word in words.items() if whole or word != "trainval"}
        for name, split in lists.items():
            lines = read(tree, name)[:_LARGEST].decode(errors="replace").splitlines()
            found = [_image(line, finder) for line in lines if line.strip()]
            if sum(map(bool, found)) * 2 >= len(found):
                splits |= {image: split for image in found if image}
        if len(set(splits.values())) > 1 and (best is None or len(splits) > len(best[0])):
            best = splits, tuple(lists)
    return best


def _image(line: str, finder: Finder) -> str | None:
    parts = line.split()
    return next(
        (image for word in (line.strip(), parts[0], parts[-1]) if (image := finder.find(word))),
        None,
    )
