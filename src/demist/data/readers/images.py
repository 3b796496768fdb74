"""Images, one a file: in folders, in archives, in folders of archives."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from demist.data.dataset import Dataset
from demist.data.images.layout import arrange, splits_of
from demist.data.images.read import read_images
from demist.data.readers.reader import Reader, Source


@dataclass(frozen=True)
class ImageFiles(Reader):
    """A folder, a tar or zip archive, or a folder of them, with images; sub-folders are classes."""

    name: ClassVar[str] = "image-files"
    order: ClassVar[int] = 90
    ranged: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        return source.tree is not None

    def splits(self, source: Source) -> tuple[str, ...]:
        return splits_of(source.tree) if source.tree is not None else ()

    def read(self, source: Source) -> Dataset:
        assert source.tree is not None
        return read_images(
            source.tree, source.split, source.rules, limit=source.limit, max_bad=source.max_bad,
            seed=source.seed, arrange=partial(arrange, asked=source.asked), choices=source.asked,
        )  # fmt: skip
