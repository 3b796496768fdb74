"""Which note of a loop is where: drums by its groove, bass and melody by chance in its key."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demist.data.music.loop import BEATS, KEYS, Loop

PATTERNS: dict[tuple[str, str], tuple[str, str]] = {
    ("slow", "steady"): ("x.x.x.", "....x."),
    ("slow", "rocking"): ("x.....", "..x.x."),
    ("slow", "broken"): ("x..x..", "..x..x"),
    ("medium", "steady"): ("x.x.x.x.", "..x...x."),
    ("medium", "rocking"): ("x...x...", "..x...x."),
    ("medium", "broken"): ("x..x..x.", "....x..."),
    ("fast", "steady"): ("x.x.x.x.x.", "..x...x..."),
    ("fast", "rocking"): ("x...x...x.", "..x...x..."),
    ("fast", "broken"): ("x..x..x...", "....x...x."),
}
"""Tempo and groove -> strokes of kick and of snare, two steps a beat."""
SCALES = {True: (0, 2, 3, 5, 7, 8, 10), False: (0, 2, 4, 5, 7, 9, 11)}
"""Semitones above the tonic, by whether the third is minor."""
LOWEST_BASS, LOWEST_LEAD = 45, 69
"""Numbers of notes, of which 69 is the a of 440 Hz: the lowest tonic is not below these."""
_BEGINS = (0, 2, 4)
"""Steps at which a note of the melody begins in any case: the chord has three."""
_ACCENT = (1.0, 0.8)
"""How loud notes on and between beats are."""


@dataclass(frozen=True)
class Note:
    """One note or stroke.

    Attributes:
        step: When it begins; there are two a beat.
        steps: How long it lasts.
        pitch: Number of the note; of a stroke 0.
        loud: Between 0 and 1.
    """

    step: int
    steps: int = 1
    pitch: int = 0
    loud: float = 1.0


@dataclass(frozen=True)
class Score:
    """All notes of a loop, by who plays them, and how many steps it has."""

    steps: int
    kick: tuple[Note, ...]
    snare: tuple[Note, ...]
    hat: tuple[Note, ...]
    bass: tuple[Note, ...]
    lead: tuple[Note, ...]


def compose(loop: Loop, rng: np.random.Generator) -> Score:
    """One of many scores of the same loop."""
    steps = 2 * BEATS[loop.tempo]
    kick, snare = (
        tuple(Note(i, loud=float(rng.uniform(0.85, 1))) for i, c in enumerate(row) if c == "x")
        for row in PATTERNS[loop.tempo, loop.groove]
    )
    hat = tuple(
        Note(i, loud=float(rng.uniform(0.8, 1)) * _ACCENT[i % 2])
        for i in range(steps) if i == 0 or rng.random() < 0.85
    )  # fmt: skip
    tonic, minor = KEYS[loop.key]
    return Score(steps, kick, snare, hat, _bass(steps, tonic, rng), _lead(steps, tonic, minor, rng))


def _bass(steps: int, tonic: int, rng: np.random.Generator) -> tuple[Note, ...]:
    """The tonic, at times the fifth: on beats, between them, or all the time."""
    root = _from(LOWEST_BASS, tonic)
    places = (range(0, steps, 2), range(1, steps, 2), range(steps))[int(rng.integers(3))]
    fifths = [i > 0 and bool(rng.random() < 0.25) for i in places]
    return tuple(Note(i, 1, root + 7 * fifth, 1.0) for i, fifth in zip(places, fifths, strict=True))


def _lead(steps: int, tonic: int, minor: bool, rng: np.random.Generator) -> tuple[Note, ...]:
    """A melody that walks the scale, on beats through the chord; it has all notes of that."""
    scale, root = SCALES[minor], _from(LOWEST_LEAD, tonic)
    begins = [i for i in range(steps) if i in _BEGINS or rng.random() < (0.6, 0.35)[i % 2]]
    degrees, at = list[int](), int(rng.choice([0, 2, 4, 7]))
    for begin in begins:
        if begin % 2 == 0:
            at = min((0, 2, 4, 7, 9), key=lambda d: (abs(d - at), rng.random()))
        degrees.append(at)
        at = int(np.clip(at + rng.choice([-2, -1, -1, 1, 1, 2]), 0, 9))
    _complete(degrees, [i for i, begin in enumerate(begins) if begin % 2 == 0], rng)
    ends = [*begins[1:], steps]
    return tuple(
        Note(begin, min(end - begin, 3), root + 12 * (d // 7) + scale[d % 7], _ACCENT[begin % 2])
        for begin, end, d in zip(begins, ends, degrees, strict=True)
    )


def _complete(degrees: list[int], places: Sequence[int], rng: np.random.Generator) -> None:
    """Put tonic, third and fifth, where they are missing, on beats; the first note is the tonic."""
    degrees[0] = int(rng.choice([0, 7]))
    free = [i for i in places if i > 0]
    for wanted in (2, 4):
        if not any(d % 7 == wanted for d in degrees):
            taken = [i for i in free if degrees[i] % 7 == 0] or free
            if taken:
                degrees[taken[0]] = wanted
                free.remove(taken[0])


def _from(lowest: int, tonic: int) -> int:
    """The first note of that name which is not below `lowest`."""
    return lowest + (tonic - lowest) % 12
