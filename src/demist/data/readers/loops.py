"""Loops of drums, bass and melody with captions, and single strokes with classes, made by code.

Each caption says tempo, kick, lead and key, and mostly groove, snare and bass too; what a loop is
stands in `demist.data.music.loop`. Some combinations never occur in training, so that a model can
be asked for what it has never heard (`bindings`: each lead misses one tempo). The splits "train"
and "test" are other draws of the same kind.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from demist.data.dataset import Dataset
from demist.data.music.loop import LENGTH, RATE, Loop, describe, invent
from demist.data.music.mix import STROKE, STROKES, Kit, render, stroke
from demist.data.readers.reader import Reader, Source
from demist.data.sounds.clips import Clips, InMemory
from demist.errors import UsageError
from demist.machine.memory import check_memory

LOOPS, ONE_SHOTS = "loops", "one-shots"
COUNT = 4000
"""Sounds, where nobody says how many."""
HELD_OUT = ("bindings",)


def draw(
    count: int,
    split: str = "train",
    seed: int = 0,
    held_out: Literal["bindings"] | None = None,
    whole: bool = False,
    kit: Kit = Kit(),  # noqa: B008 (frozen)
) -> tuple[Dataset, tuple[Loop, ...]]:
    """Loops as sounds with captions.

    Args:
        count: How many.
        split: "train" or "test".
        seed: Other seeds and splits give independent loops.
        held_out: Only loops with this held-out combination; by default loops with none.
        whole: Whether each caption says all there is.
        kit: Where the drums come from.

    Raises:
        UsageError: The split is another.
    """
    rng = _draws(split, seed, HELD_OUT.index(held_out) + 1 if held_out else 0)
    check_memory((count, LENGTH), LOOPS, 4)
    wanted, loops = ({held_out} if held_out else set()), list[Loop]()
    while len(loops) < count:
        loop = invent(rng)
        if loop.unseen == wanted:
            loops.append(loop)
    waves = [InMemory(render(loop, rng, kit)) for loop in loops]
    texts = tuple(describe(loop, rng, whole) for loop in loops)
    x = Clips(waves, RATE, LENGTH)
    return _dataset(x, name=LOOPS, texts=texts), tuple(loops)


def strokes(count: int, split: str = "train", seed: int = 0) -> Dataset:
    """Single strokes and notes; their classes are the instruments, equally often."""
    rng = _draws(split, seed, 9)
    labels = rng.permutation(np.arange(count) % len(STROKES))
    waves = [InMemory(stroke(STROKES[i], rng)) for i in labels]
    return _dataset(
        Clips(waves, RATE, STROKE), name=ONE_SHOTS, labels=labels.astype(np.int64), classes=STROKES
    )


def _draws(split: str, seed: int, what: int) -> np.random.Generator:
    if split not in ("train", "test"):
        raise UsageError(f"loops have no split {split!r}; there are train and test")
    return np.random.default_rng([seed, split == "test", what])


def _dataset(x: Clips, **about: object) -> Dataset:
    return Dataset(x, source="made by code", kind=f"sounds:rate={RATE}", **about)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Loops(Reader):
    """Built in: loops of music, described by captions; and single strokes, by class."""

    name: ClassVar[str] = "loops"
    order: ClassVar[int] = 0
    sets: ClassVar[tuple[str, ...]] = (LOOPS, ONE_SHOTS)
    kind: ClassVar[str] = "sounds"

    def recognises(self, source: Source) -> bool:
        return source.text in self.sets

    def splits(self, source: Source) -> tuple[str, ...]:
        return ("train", "test")

    def read(self, source: Source) -> Dataset:
        count = source.limit or COUNT
        if source.text == ONE_SHOTS:
            return strokes(count, source.split, source.seed)
        return draw(count, source.split, source.seed)[0]
