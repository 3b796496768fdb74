"""`demist make-pairs`: pairs of images to learn edits from, made by code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from demist.commands.sampling import require_positive
from demist.commands.shared import read


@dataclass(frozen=True)
class Options:
    """Make pairs to learn edits from: DigitScenes before and after, with exact targets."""

    data: Annotated[Positional[Literal["scenes"]], arg(metavar="scenes")]
    """What is drawn: DigitScenes."""
    task: Literal["recolour", "remove", "move", "resize", "hole", "control", "low"]
    """What differs: the colour of a digit, whether it is there, its place or size (with an
    instruction that says so); or what is beside an image: a mask of a hole, its edges, a small
    copy."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """New folder for images and metadata.jsonl."""
    n: int = 1000
    """How many pairs."""
    size: int = 64
    """Side of the images: 32 or 64 pixels."""
    factor: int = 4
    """How many times smaller the copies of the task low are: 2, 4 or 8."""
    split: Literal["train", "test"] = "train"
    """Whose digits: those that models learn from, or others."""
    seed: int = 0
    """Other seeds give other pairs; the first ones of a seed are the same, however many there
    are."""

    def __post_init__(self) -> None:
        require_positive("n", self.n)


def main(args: list[str]) -> None:
    """Draw, write, and say what was written and how to train on it."""
    o = read(Options, "make-pairs", args)
    from demist.data.scene_pairs import write_pairs

    for sentence in write_pairs(o.out, o.task, o.n, o.split, o.seed, o.size, o.factor):
        print(sentence)
