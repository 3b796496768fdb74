"""Data sets saved by the library `datasets` (an extra): its folders, and parquet files, offline.

`Dataset.save_to_disk` and `DatasetDict.save_to_disk` write folders of Arrow files; most data sets
that are published are parquet files. Images are the first column of type Image; classes are the
column called "label", or the first of type ClassLabel; captions the column "text", "caption" or
"prompt". Only data is read: nothing is downloaded, and no script of a data set is run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from demist.data.dataset import Dataset, label_indices
from demist.data.files.folder import Folder
from demist.data.files.tree import Tree, check_size
from demist.data.images.further import natural
from demist.data.images.layout import Listing, is_picture, require_split, split_word
from demist.data.images.read import read_pictures
from demist.data.readers.reader import Reader, Source
from demist.errors import DataError, MissingError
from demist.io.files import cache_folder

_TEXTS = ("text", "caption", "prompt")


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a saved data set; see `Tree`. An image is called by the number of its row.

    Attributes:
        path: Where it is saved.
        rows: A `datasets.Dataset` whose images are not decoded.
        image: Name of the column of images.
    """

    path: Path
    rows: Any
    image: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """See `Tree.names`."""
        return tuple(f"row {i:09d}" for i in range(len(self.rows)))

    def stream(self, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """See `Tree.stream`."""
        column = self.rows.select_columns([self.image])
        for name in names:
            yield name, partial(self._read, column, int(name.removeprefix("row ")))

    def place(self, name: str) -> str:
        """See `Tree.place`."""
        return name

    def stamp(self) -> str:
        """See `Tree.stamp`."""
        folder = self.path if self.path.is_dir() else self.path.parent
        return f"{len(self.rows)}/{self.image}/{Folder.scan(folder).stamp()}"

    def listing(self) -> Listing:
        """All images, with classes and captions.

        Raises:
            DataError: Some rows have a class or a caption, and others not.
        """
        labels, classes = self._labels()
        return Listing(self.names, labels, classes, self._texts())

    def _read(self, column: Any, row: int) -> bytes:
        content = column[row][self.image]
        data: bytes = content["bytes"] if isinstance(content, dict) else content
        if not data:  # a path is not followed: it may lead anywhere
            raise ValueError("the row has no image inside the data set")
        check_size(len(data))
        return data

    def _labels(self) -> tuple[np.ndarray | None, tuple[str, ...]]:
        features = self.rows.features
        named = [c for c in features if type(features[c]).__name__ == "ClassLabel"]
        column = "label" if "label" in features else next(iter(named), None)
        values = self._filled(column, missing=(None, -1, ""))
        if values is None or column is None:
            return None, ()
        if column in named:
            classes = tuple(features[column].names)
            return np.array(values, np.int64), classes
        words = [str(value) for value in values]
        classes = tuple(sorted(set(words), key=natural))
        return label_indices(words, classes), classes

    def _texts(self) -> tuple[str, ...] | None:
        strings = [c for c in _TEXTS if getattr(self.rows.features.get(c), "dtype", "") == "string"]
        values = self._filled(next(iter(strings), None), missing=(None, ""))
        return None if values is None else tuple(values)

    def _filled(self, column: str | None, missing: tuple[Any, ...]) -> list[Any] | None:
        """A column's values; None if there is no column, or nothing in it."""
        values = list(self.rows[column]) if column else []
        empty = [i for i, value in enumerate(values) if value in missing]
        if len(empty) == len(values):
            return None
        if empty:
            raise DataError(
                f"{len(empty)} of {len(values)} rows of {self.path} have no {column!r}, first row "
                f"{empty[0]}: fill the column or remove it"
            )
        return values


def is_saved(folder: Tree) -> bool:
    """Whether a folder without images is of the kinds that are read here."""
    names = folder.names
    whole = "dataset_info.json" in names and "state.json" in names
    return whole or "dataset_dict.json" in names or bool(_parquet(folder))


def open_table(path: Path, split: str) -> Table:
    """One split of a saved data set.

    Raises:
        MissingError: The library is not installed.
        DataError: It is damaged, or has no such split or no images.
    """
    datasets = _library(path)
    with _whole(datasets, path):
        found = _splits(datasets, path)
        require_split(split, found, str(path))
        rows = found[split]()
    pictures = [c for c, kind in rows.features.items() if isinstance(kind, datasets.Image)]
    if not pictures:
        kinds = ", ".join(f"{c} ({type(kind).__name__})" for c, kind in rows.features.items())
        raise DataError(
            f"{path} has no column of type Image; it has {kinds}: cast one with "
            "`cast_column(name, datasets.Image())` and save it again"
        )
    return Table(path, rows.cast_column(pictures[0], datasets.Image(decode=False)), pictures[0])


def splits_of(path: Path) -> tuple[str, ...]:
    """The splits of a saved data set; raises as `open_table`."""
    datasets = _library(path)
    with _whole(datasets, path):
        return tuple(_splits(datasets, path))


@contextmanager
def _whole(datasets: Any, path: Path) -> Iterator[None]:
    """Turn what the library raises on damaged data into our error."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is a damaged or incomplete data set: {reason}") from None


def _library(path: Path) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingError(
            f"reading {path} needs the package datasets: pip install 'demist[datasets]'"
        ) from None
    return datasets


def _splits(datasets: Any, path: Path) -> dict[str, Callable[[], Any]]:
    """What opens each split."""
    if path.is_dir() and (files := _parquet(Folder.scan(path))):
        return {
            split: partial(_from_parquet, datasets, [str(path / name) for name in names])
            for split, names in files.items()
        }
    if path.is_file():
        return {"train": partial(_from_parquet, datasets, [str(path)])}
    saved = datasets.load_from_disk(str(path.resolve()))
    if isinstance(saved, datasets.Dataset):
        return {"train": lambda: saved}
    return {split_word(name) or name: partial(saved.get, name) for name in saved}


def _from_parquet(datasets: Any, names: list[str]) -> Any:
    # The library makes a copy that can be read at random: in the user's cache, as its own is.
    return datasets.Dataset.from_parquet(names, cache_dir=str(cache_folder() / "datasets"))


def _parquet(folder: Tree) -> dict[str, list[str]]:
    """The parquet files of a folder without images, by split."""
    files = [name for name in folder.names if name.lower().endswith(".parquet")]
    if not files or any(is_picture(name) for name in folder.names):
        return {}
    splits = {name: split_word(name) for name in files}
    if not all(splits.values()):
        return {"train": files}
    return {s: [n for n in files if splits[n] == s] for s in dict.fromkeys(splits.values())}


@dataclass(frozen=True)
class Arrow(Reader):
    """What the library `datasets` saves, and parquet files of images."""

    name: ClassVar[str] = "arrow"
    order: ClassVar[int] = 40
    packed: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        if source.path.suffix == ".parquet" and not source.path.is_dir():
            return True
        return source.path.is_dir() and source.tree is not None and is_saved(source.tree)

    def splits(self, source: Source) -> tuple[str, ...]:
        return splits_of(source.path)

    def read(self, source: Source) -> Dataset:
        table = open_table(source.path, source.split)
        return read_pictures(
            table, source.split, source.rules, limit=source.limit, max_bad=source.max_bad,
            seed=source.seed, arrange=lambda tree, split: table.listing(),
        )  # fmt: skip
