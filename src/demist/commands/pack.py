"""`demist pack`: a folder of images as a few large archives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from demist.commands.sampling import require_positive
from demist.commands.shared import read


@dataclass(frozen=True)
class Options:
    """Pack a folder of images into tar archives, read by `demist train` in place."""

    data: Annotated[Positional[str], arg(metavar="FOLDER")]
    """Images, with classes and captions as `demist train` takes them."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder for the archives: train-00000.tar, ..."""
    per_shard: int = 10_000
    """Images in an archive."""

    def __post_init__(self) -> None:
        require_positive("per_shard", self.per_shard)


def main(args: list[str]) -> None:
    """Pack, and print the names of the archives."""
    options = read(Options, "pack", args)
    from demist.data import files_at, pack

    for path in pack(files_at(options.data), options.out, options.per_shard):
        print(path)
