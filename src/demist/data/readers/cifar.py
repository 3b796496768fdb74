"""CIFAR-10 and CIFAR-100 as distributed: the "python" and the "binary" batches.

Reference:
    Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.
"""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from demist.data.dataset import Dataset, numbered
from demist.data.files.tree import Tree, read, read_all
from demist.data.images.layout import require_split
from demist.data.readers.plainpickle import read_plain_pickle
from demist.data.readers.reader import Reader, Source
from demist.errors import DataError

_PIXELS = 3 * 32 * 32  # a row: 32 x 32 red values, then green, then blue


@dataclass(frozen=True)
class Kind:
    """File names of one distribution, and the bytes of labels before each binary image.

    Where batches have names that other files may have too, the file of class names must be there.
    """

    train: str
    test: str
    names: str
    label_bytes: int = 0
    needs_names: bool = False


KINDS = (
    Kind(r"data_batch_\d+", "test_batch", "batches.meta"),
    Kind(r"data_batch_\d+\.bin", r"test_batch\.bin", "batches.meta.txt", 1),
    Kind("train", "test", "meta", needs_names=True),
    Kind(r"train\.bin", r"test\.bin", "fine_label_names.txt", 2, needs_names=True),
)


def find_cifar(tree: Tree) -> tuple[Kind, dict[str, list[str]]] | None:
    """The kind of batches in `tree` and the files of each split; None if there are none.

    Raises:
        DataError: There are several data sets.
    """
    for kind in KINDS:
        found = {split: _matching(tree, kind, split) for split in ("train", "test")}
        folders = {name.rpartition("/")[0] for names in found.values() for name in names}
        if len(folders) > 1:
            raise DataError(f"{tree.path} holds several CIFAR sets: pass the folder of one")
        if folders:
            return kind, {split: names for split, names in found.items() if names}
    return None


def read_cifar(tree: Tree, kind: Kind, files: list[str]) -> Dataset:
    """Read and join some batches. CIFAR-100 is given its 100 fine classes.

    Raises:
        DataError: A file is damaged, or labels and images do not match.
        RefusedError: A python batch holds more than plain data.
    """
    contents = read_all(tree, files)
    batches = [
        _binary(contents[name], name, kind.label_bytes)
        if kind.label_bytes
        else _python(contents[name], name)
        for name in files
    ]
    labels = np.concatenate([labels for _, labels in batches])
    x = np.concatenate([pixels for pixels, _ in batches]).reshape(-1, 3, 32, 32)
    return Dataset(x, labels, _classes(tree, kind, files[0]) or numbered(labels))


def _matching(tree: Tree, kind: Kind, split: str) -> list[str]:
    pattern = re.compile(getattr(kind, split))
    names = [name for name in tree.names if pattern.fullmatch(name.rpartition("/")[2])]
    if kind.needs_names:
        names = [name for name in names if _names_beside(name, kind) in tree.names]
    return names


def _names_beside(batch: str, kind: Kind) -> str:
    folder, slash, _ = batch.rpartition("/")
    return folder + slash + kind.names


def _binary(data: bytes, name: str, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of label bytes, the fine label last, and pixels."""
    row = label_bytes + _PIXELS
    if not data or len(data) % row:
        raise DataError(f"{name} has {len(data)} bytes, not a multiple of {row}: it is incomplete")
    rows = np.frombuffer(data, np.uint8).reshape(-1, row)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)


def _python(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    batch = _table(data, name)
    pixels, labels = batch.get("data"), batch.get("labels", batch.get("fine_labels"))
    if not isinstance(pixels, np.ndarray) or pixels.shape[1:] != (_PIXELS,):
        raise DataError(f"{name} has no 'data' of N x {_PIXELS} bytes as a CIFAR batch has")
    if isinstance(labels, np.ndarray) and labels.ndim == 1:
        labels = labels.tolist()
    if pixels.dtype != np.uint8 or not isinstance(labels, list):
        raise DataError(f"{name} has no 'labels' or 'fine_labels', or pixels that are not bytes")
    if len(labels) != len(pixels) or not all(isinstance(n, int) for n in labels):
        raise DataError(f"{name} has {len(labels)} labels for {len(pixels)} images, or no numbers")
    return pixels, np.array(labels, np.int64)


def _table(data: bytes, name: str) -> dict[str, Any]:
    value = read_plain_pickle(data, name)
    if not isinstance(value, dict):
        raise DataError(f"{name} holds no dictionary as a CIFAR batch does")
    return {_text(key): item for key, item in value.items()}


def _classes(tree: Tree, kind: Kind, batch: str) -> tuple[str, ...]:
    """Class names from the file beside `batch`; empty if it is not there."""
    name = _names_beside(batch, kind)
    if name not in tree.names:
        return ()
    data = read(tree, name)
    if kind.label_bytes:
        return tuple(data.decode("utf-8", "replace").split())
    table = _table(data, name)
    names = table.get("fine_label_names", table.get("label_names"))
    if not isinstance(names, list) or not all(isinstance(word, str | bytes) for word in names):
        raise DataError(f"{name} has no list of class names")
    return tuple(map(_text, names))


def _text(word: str | bytes) -> str:
    return word.decode("latin-1") if isinstance(word, bytes) else word


@dataclass(frozen=True)
class Cifar(Reader):
    """CIFAR-10 and CIFAR-100, binary or for Python, as a folder or an archive."""

    name: ClassVar[str] = "cifar"
    order: ClassVar[int] = 30
    packed: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        return source.tree is not None and bool(find_cifar(source.tree))

    def splits(self, source: Source) -> tuple[str, ...]:
        found = find_cifar(source.tree) if source.tree is not None else None
        return tuple(found[1]) if found else ()

    def read(self, source: Source) -> Dataset:
        assert source.tree is not None
        found = find_cifar(source.tree)
        assert found is not None
        version, batches = found
        require_split(source.split, batches, str(source.path))
        return read_cifar(source.tree, version, batches[source.split])
