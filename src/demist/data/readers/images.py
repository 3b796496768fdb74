"""Images, one a file: in folders, in archives, in folders of archives."""

from dataclasses import dataclass
from typing import ClassVar

from demist.data.dataset import Dataset
from demist.data.images.layout import splits_of
from demist.data.images.read import read_pictures
from demist.data.readers.reader import Reader, Source


@dataclass(frozen=True)
class ImageFiles(Reader):
    """A folder, a tar archive, or a folder of archives of images; sub-folders are classes."""

    name: ClassVar[str] = "image-files"
    order: ClassVar[int] = 90

    def recognises(self, source: Source) -> bool:
        return source.tree is not None

    def splits(self, source: Source) -> tuple[str, ...]:
        return splits_of(source.tree) if source.tree is not None else ()

    def read(self, source: Source) -> Dataset:
        assert source.tree is not None
        return read_pictures(
            source.tree, source.split, source.rules, limit=source.limit, max_bad=source.max_bad,
            seed=source.seed,
        )  # fmt: skip
