"""A look at a large folder: some of its images, and how many there are in all."""

from dataclasses import dataclass, replace

from demist.config import TrainConfig, update
from demist.data import NAMES, Dataset, Report, existing, files_at, reader_of
from demist.data.images.layout import arrange
from demist.data.readers import Source
from demist.data.readers.images import ImageFiles

LOOKED = 1000
"""Images of a folder that are opened; folders of up to four times as many are read as a whole."""


@dataclass(frozen=True)
class Look:
    """What is opened of the data, and what is counted.

    Attributes:
        config: Options that load what is looked at.
        total: Images of the part "train"; None: all data is looked at.
        classes: Their classes -> how many images.
    """

    config: TrainConfig
    total: int | None = None
    classes: dict[str, int] | None = None

    def items(self, data: Dataset) -> int:
        """How many items training would have, of which `data` is what was looked at."""
        if self.total is None:
            return len(data)
        return round(self.total * min(1.0, len(data) / LOOKED))

    def report(self, data: Dataset) -> Report:
        """What was understood."""
        if self.total is None:
            return data.report
        counts = self.classes if data.classes else {}
        return replace(data.report, count=self.total, classes=counts or {}, looked=len(data))


def look(config: TrainConfig) -> Look:
    """Decide what to open: all of the data, or some of a large folder of images.

    Raises:
        DemistError: The data cannot be listed.
    """
    if config.data.path in NAMES or config.data.limit:
        return Look(config)
    path = existing(config.data.path)
    if not path.is_dir():
        return Look(config)
    tree = files_at(config.data.path)
    source = Source(config.data.path, path, listed=tree)
    if len(tree.names) <= 4 * LOOKED or not isinstance(reader_of(source), ImageFiles):
        return Look(config)
    listing = arrange(tree, "train")
    if len(listing.names) <= 4 * LOOKED:
        return Look(config)
    counts = {}
    if listing.labels is not None:
        labels = listing.labels.tolist()
        counts = {name: labels.count(i) for i, name in enumerate(listing.classes)}
    return Look(update(config, {"limit": LOOKED}), len(listing.names), counts)
