"""Loops and single strokes as waves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from demist.data.music import instruments
from demist.data.music.loop import FACTS, LENGTH, RATE, Loop
from demist.data.music.score import Note, Score, compose

LEVELS = {"kick": 1.0, "snare": 0.6, "hat": 0.22, "bass": 0.4, "lead": 0.35}
PEAK = 0.9
"""Largest sample of a loop."""
STROKE = 4096
"""Samples of a single stroke or note: 0.512 s."""


@dataclass(frozen=True)
class Kit:
    """Where the drums come from: these are made by code. Variants may have any number."""

    def kick(self, kind: str, variant: int) -> np.ndarray:
        """A stroke of that kind."""
        return instruments.kick(kind, variant % instruments.VARIANTS)

    def snare(self, kind: str, variant: int) -> np.ndarray:
        """Likewise."""
        return instruments.snare(kind, variant % instruments.VARIANTS)

    def hat(self, variant: int) -> np.ndarray:
        """Likewise."""
        return instruments.hat(variant % instruments.VARIANTS)


def render(
    loop: Loop,
    rng: np.random.Generator,
    kit: Kit = Kit(),
) -> Float32[np.ndarray, "t"]:
    """One of many loops of which the same is said.

    What rings at its end is heard at its beginning, so that it can be repeated.
    """
    return mixed(compose(loop, rng), loop, [int(v) for v in rng.integers(2**16, size=3)], kit)


def mixed(
    score: Score,
    loop: Loop,
    variants: Sequence[int],
    kit: Kit = Kit(),
) -> Float32[np.ndarray, "t"]:
    """The wave of a score.

    Args:
        score: The notes.
        loop: How they sound.
        variants: Which strokes of kick, snare and hat are taken.
        kit: The drums.
    """
    x = np.zeros(LENGTH, np.float32)

    def put(wave: np.ndarray, note: Note, part: str) -> None:
        at = round(note.step * LENGTH / score.steps)
        level = LEVELS[part] * note.loud
        first = min(len(wave), LENGTH - at)
        x[at : at + first] += level * wave[:first]
        if first < len(wave):
            x[: len(wave) - first] += level * wave[first:]

    for note in score.bass:
        put(instruments.bass(loop.bass, note.pitch, _samples(note, score)), note, "bass")
    for note in score.lead:
        put(instruments.lead(loop.lead, note.pitch, _samples(note, score)), note, "lead")
    strokes = (kit.kick(loop.kick, variants[0]), kit.snare(loop.snare, variants[1]),
               kit.hat(variants[2]))  # fmt: skip
    for part, wave in zip(("kick", "snare", "hat"), strokes, strict=True):
        for note in getattr(score, part):
            put(wave, note, part)
    return x * np.float32(PEAK / np.abs(x).max())


def _samples(note: Note, score: Score) -> int:
    """How long a note sounds: a tenth less than it lasts, so that equal ones are told apart."""
    return round(0.9 * note.steps * LENGTH / score.steps)


STROKES = tuple(
    [f"{kind} kick" for kind in FACTS["kick"]] + [*FACTS["snare"], "hi-hat"]
    + [f"{kind} bass" for kind in FACTS["bass"]] + [f"{kind} lead" for kind in FACTS["lead"]]
)  # fmt: skip
"""What can be heard alone."""


def stroke(what: str, rng: np.random.Generator) -> Float32[np.ndarray, "t"]:
    """One stroke or note of one of `STROKES`, of some pitch and loudness, followed by silence."""
    kind, _, part = what.rpartition(" ")
    variant = int(rng.integers(instruments.VARIANTS))
    samples = int(rng.integers(1600, 3200))
    wave: Any
    if part in ("bass", "lead"):
        pitch = int(rng.integers(45, 57) if part == "bass" else rng.integers(69, 85))
        wave = getattr(instruments, part)(kind, pitch, samples)
    elif part == "kick":
        wave = instruments.kick(kind, variant)
    else:
        wave = instruments.hat(variant) if part == "hi-hat" else instruments.snare(part, variant)
    x = np.zeros(STROKE, np.float32)
    begin = int(rng.integers(0, round(0.03 * RATE)))
    x[begin : begin + len(wave)] = wave * rng.uniform(0.5, PEAK)
    return x
