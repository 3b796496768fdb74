"""`demist make-loops`: loops of music as WAV files with captions, made by code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from demist.commands.sampling import require_positive
from demist.commands.shared import read
from demist.data.music.write import write_loops
from demist.errors import UsageError


@dataclass(frozen=True)
class Options:
    """Make loops of music with captions as WAV files: what the built-in data `loops` is."""

    out: Annotated[Path, arg(metavar="FOLDER")]
    """New folder for WAV files and metadata.csv."""
    n: int = 1000
    """How many."""
    drums: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Single strokes (kick1.wav, snare.flac, hat_a.wav, clap.wav) to take the drums from, instead
    of those made by code."""
    split: Literal["train", "test"] = "train"
    """Which loops: those that models learn from, or others."""
    seed: int = 0
    """Other seeds give other loops."""

    def __post_init__(self) -> None:
        require_positive("n", self.n)
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: give 0 or more")


def main(args: list[str]) -> None:
    """Make, write, and say what was written and how to train on it."""
    o = read(Options, "make-loops", args)
    for sentence in write_loops(o.out, o.n, o.split, o.seed, o.drums):
        print(sentence)
