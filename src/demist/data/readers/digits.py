"""The digits that come with the package: a part of MNIST."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from demist.data.dataset import Dataset
from demist.data.readers.idx import IdxFolder
from demist.data.readers.reader import Reader, Source

PLACE = Path(__file__).parents[1] / "digits"
ORIGIN = "MNIST (LeCun, Cortes, Burges), a class-balanced part; CC BY-SA 3.0"


@dataclass(frozen=True)
class Digits(Reader):
    """Handwritten digits, built in: 10,000 to train on, 2,000 to test, 28 x 28 grey, labelled."""

    name: ClassVar[str] = "digits"
    order: ClassVar[int] = 0
    sets: ClassVar[tuple[str, ...]] = ("digits",)

    def recognises(self, source: Source) -> bool:
        return source.text in self.sets

    def splits(self, source: Source) -> tuple[str, ...]:
        return ("train", "test")

    def read(self, source: Source) -> Dataset:
        data = IdxFolder().read(Source(str(PLACE), PLACE, source.split))
        return replace(data, name=source.text, source=ORIGIN)
