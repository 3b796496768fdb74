"""`demist classifier`: train the independent judge of a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from demist.commands.judging import cache_folder, judge, splits, with_path
from demist.commands.shared import require_free


@dataclass(frozen=True)
class Options:
    """Train a classifier on the data: the judge of `demist evaluate`, kept for later."""

    data: Annotated[Positional[str], arg(metavar="[DATA]")] = "digits"
    """Images in classes: anything `demist train` takes."""
    size: int | None = None
    """Side of the square pictures, as in training."""
    channels: int | None = None
    """1 grey or 3 RGB, as in training."""
    seed: int = 0
    """Fixes weights, order and augmentation."""
    out: Path | None = None
    """Write it here too (.safetensors)."""
    force: bool = False
    """Overwrite a file that exists."""


def main(args: list[str]) -> None:
    """Train (or find) the judge and describe it."""
    options = tyro.cli(Options, prog="demist classifier", args=args)
    if options.out:
        require_free(options.out, options.force)
    classifier = judge(
        *splits(with_path(options.data, options.size, options.channels)), options.seed
    )
    if options.out:
        classifier.save(options.out)
    print(f"{classifier.card}\nkept in {options.out or cache_folder()}")
