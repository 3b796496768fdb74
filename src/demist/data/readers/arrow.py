"""Data sets saved by the library `datasets` (an extra): its folders, and parquet files, offline.

`Dataset.save_to_disk` and `DatasetDict.save_to_disk` write folders of Arrow files; most data sets
that are published are parquet files. Images are the first column of type Image, or of bytes;
classes and captions the columns that `words` names, classes else the first of type ClassLabel. Of
a list of captions the first counts. Images that lie beside such files, as a banner does, are left
out. Only data is read: nothing is downloaded, and no script of a data set is run.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from demist.data.dataset import Dataset, label_indices
from demist.data.files.folder import Folder
from demist.data.files.tree import Tree, check_size
from demist.data.images.aside import is_image
from demist.data.images.classes import Listing, left_out
from demist.data.images.further import natural
from demist.data.images.metadata import Asked
from demist.data.images.read import read_images
from demist.data.images.tables import is_metadata
from demist.data.readers.reader import Reader, Source
from demist.data.report import Report
from demist.data.words import LABELS, TEXTS, pick, require_split, split_word
from demist.errors import DataError, MissingError, UsageError
from demist.io.files import cache_folder


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a saved data set; see `Tree`. An image is called by the number of its row.

    Attributes:
        path: Where it is saved.
        rows: A `datasets.Dataset` whose images are not decoded.
        image: Name of the column of images.
        asked: Which columns are classes and captions.
    """

    path: Path
    rows: Any
    image: str
    asked: Asked = Asked()  # noqa: RUF009 (a frozen value)

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
            UsageError: There is no such column as was asked for.
        """
        label, named = self._column(LABELS, self.asked.label_column, "--label-column")
        text, _ = self._column(TEXTS, self.asked.caption_column, "--caption-column")
        labels, classes = self._labels(label, named)
        texts, notes = self._texts(text)
        ours = {self.image, label if labels is not None else None, text if texts else None}
        if left := [column for column in self.rows.features if column not in ours]:
            notes.append(f"Columns that are not read: {', '.join(left)}.")
        pictures, tables = _left(self.path)
        notes += left_out(Counter(pictures), "beside the tables")
        if tables:
            notes.append(f"Left out beside the splits: {', '.join(tables)}.")
        seen = Report(captions_from=f"the column {text}" if texts else "", notes=tuple(notes))
        return Listing(self.names, labels, classes, texts, seen=seen)

    def _column(
        self, known: tuple[str, ...], chosen: str | None, flag: str
    ) -> tuple[str | None, bool]:
        """The column that is meant, and whether it numbers classes whose names are known."""
        features = self.rows.features
        found = pick([c for c in features if c != self.image], known, chosen)
        if chosen is not None and found is None:
            raise UsageError(f"{flag} {chosen}: {self.path} has {', '.join(features)}")
        named = [c for c in features if type(features[c]).__name__ == "ClassLabel"]
        if found is None and known is LABELS:
            found = next(iter(named), None)
        return found, found in named

    def _read(self, column: Any, row: int) -> bytes:
        content = column[row][self.image]
        data: bytes = content["bytes"] if isinstance(content, dict) else content
        if not data:  # a path is not followed: it may lead anywhere
            raise ValueError("the row has no image inside the data set")
        check_size(len(data))
        return data

    def _labels(self, column: str | None, named: bool) -> tuple[np.ndarray | None, tuple[str, ...]]:
        values = self._filled(column, missing=(None, -1, ""))
        if values is None or any(isinstance(value, list | dict) for value in values):
            return None, ()
        if named:
            return np.array(values, np.int64), tuple(self.rows.features[column].names)
        words = [str(value) for value in values]
        classes = tuple(sorted(set(words), key=natural))
        return label_indices(words, classes), classes

    def _texts(self, column: str | None) -> tuple[tuple[str, ...] | None, list[str]]:
        values = self._filled(column, missing=(None, "", []))
        if values is None:
            return None, []
        notes = []
        if any(isinstance(value, list) and len(value) > 1 for value in values):
            notes.append(f"Of the captions in {column!r} the first of each image is used.")
        first = [value[0] if isinstance(value, list) else value for value in values]
        if not all(isinstance(value, str) for value in first):
            return None, []
        return tuple(first), notes

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
    """Whether a folder is of the kinds that are read here."""
    names = folder.names
    whole = "dataset_info.json" in names and "state.json" in names
    return whole or "dataset_dict.json" in names or bool(_parquet(folder)[0])


def _left(path: Path) -> tuple[list[str], list[str]]:
    """What lies beside a saved data set: the places of images, one each, and further tables."""
    if not path.is_dir():
        return [], []
    folder = Folder.scan(path)
    tops = (name.partition("/") for name in folder.names if is_image(name))
    return [top + slash for top, slash, _ in tops], _parquet(folder)[1]


def open_table(path: Path, split: str, asked: Asked = Asked()) -> Table:  # noqa: B008 (frozen)
    """One split of a saved data set.

    Args:
        path: Where it is.
        split: "train", "valid" or "test".
        asked: Which columns are classes and captions.

    Raises:
        MissingError: The library is not installed.
        DataError: It is damaged, or has no such split or no images.
    """
    datasets = _library(path)
    with _whole(datasets, path):
        found = _splits(datasets, path)
        require_split(split, found, str(path))
        rows = found[split]()
    pictures = [c for c, kind in rows.features.items() if _of_images(kind, datasets.Image)]
    if not pictures:
        kinds = ", ".join(f"{c} ({type(kind).__name__})" for c, kind in rows.features.items())
        raise DataError(
            f"{path} has no column of type Image; it has {kinds}: cast one with "
            "`cast_column(name, datasets.Image())` and save it again"
        )
    rows = rows.cast_column(pictures[0], datasets.Image(decode=False))
    return Table(path, rows, pictures[0], asked)


def _of_images(kind: Any, image: type) -> bool:
    """Whether a column has the type Image, or what other writers make of it."""
    encoded = isinstance(kind, dict) and set(kind) == {"bytes", "path"}
    return isinstance(kind, image) or encoded or getattr(kind, "dtype", "") in _BYTES


_BYTES = ("binary", "large_binary")


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
    except ImportError as error:
        lacks = f", which cannot be imported ({error})" if error.name != "datasets" else ""
        raise MissingError(
            f"reading {path} needs the package datasets{lacks}: pip install 'demist[datasets]'"
        ) from None
    return datasets


def _splits(datasets: Any, path: Path) -> dict[str, Callable[[], Any]]:
    """What opens each split."""
    if path.is_dir() and (files := _parquet(Folder.scan(path))[0]):
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


def _parquet(folder: Tree) -> tuple[dict[str, list[str]], list[str]]:
    """The parquet files of images in a folder by split, and those that are left out.

    Beside images they count only if images lie in them.

    Raises:
        DataError: They are of several data sets.
    """
    files = [n for n in folder.names if n.lower().endswith(".parquet") and not is_metadata(n)]
    if not files or (
        any(map(is_image, folder.names)) and not _holds_images(folder.path / files[0])
    ):
        return {}, []
    splits = {name: _split(name) for name in files}
    found = set(splits.values())
    if "" in found and len(found) < 3:
        return {"train": files}, []
    left = [name for name in files if not splits[name]]
    folders = [name.split("/")[:-1] for name in files if splits[name]]
    sets = {"/".join(part for part in path if not split_word(part)) for path in folders}
    if len(sets) > 1:
        raise DataError(
            f"{folder.path} holds several data sets, in {' and in '.join(sorted(sets)[:3])}: pass "
            "the folder of one"
        )
    return {s: [n for n in files if splits[n] == s] for s in sorted(found - {""})}, left


def _split(name: str) -> str:
    """The split that the name of a file speaks of, or that of a folder it lies in."""
    return next((word for part in reversed(name.split("/")) if (word := split_word(part))), "")


def _holds_images(path: Path) -> bool:
    """Whether a parquet file says, at its end, that it has a column of images."""
    with suppress(OSError), path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(8)[:4], "little")
        file.seek(max(0, size - 8 - min(length, 2**24)))
        end = file.read(min(length, 2**24))
        return (b"bytes" in end and b"path" in end) or b'"_type": "Image"' in end
    return False


@dataclass(frozen=True)
class Arrow(Reader):
    """What the library `datasets` saves, and parquet files of images."""

    name: ClassVar[str] = "arrow"
    order: ClassVar[int] = 40
    ranged: ClassVar[bool] = True
    packed: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        if source.path.suffix == ".parquet" and not source.path.is_dir():
            return True
        return source.path.is_dir() and source.tree is not None and is_saved(source.tree)

    def splits(self, source: Source) -> tuple[str, ...]:
        return splits_of(source.path)

    def read(self, source: Source) -> Dataset:
        table = open_table(source.path, source.split, source.asked)
        return read_images(
            table, source.split, source.rules, limit=source.limit, max_bad=source.max_bad,
            seed=source.seed, arrange=lambda tree, split: table.listing(), choices=source.asked,
        )  # fmt: skip
