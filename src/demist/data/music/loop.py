"""What a loop is, how captions say it, and what a prompt asks for. Nothing sounds here."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from demist.errors import UsageError

RATE, LENGTH = 8000, 16_384
"""Samples a second, and of each loop: 2.048 s."""
BEATS = {"slow": 3, "medium": 4, "fast": 5}
"""Of a loop, by its tempo: 88, 117 and 146 a minute. Whole ones, so that it can be repeated."""
_TONICS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9}
KEYS = {
    f"{name} {mode}": (tonic, mode == "minor")
    for mode in ("minor", "major")
    for name, tonic in _TONICS.items()
}
"""Tonic, in semitones above c, and whether the third is minor."""
FACTS: Mapping[str, tuple[str, ...]] = {
    "tempo": tuple(BEATS),
    "groove": ("steady", "rocking", "broken"),
    "kick": ("deep", "short"),
    "snare": ("snare", "clap"),
    "bass": ("round", "buzzing"),
    "lead": ("bright", "soft", "plucked"),
    "key": tuple(KEYS),
}
"""What is known of a loop, and the values of each."""
SAID_OTHERWISE = {
    "slow": ("slow", "calm"),
    "medium": ("medium", "moderate"),
    "fast": ("fast", "quick"),
    "bright": ("bright", "sharp"),
    "soft": ("soft", "gentle"),
}
"""Words that captions have for one value."""
ALWAYS = ("tempo", "kick", "lead", "key")
"""Facts that no caption leaves out."""


@dataclass(frozen=True)
class Loop:
    """What a caption says; each value is one of `FACTS`.

    Attributes:
        tempo: How many beats there are.
        groove: Where kick and snare strike.
        kick: How it sounds.
        snare: Whether it is one, or hands.
        bass: How it sounds.
        lead: How the melody sounds.
        key: Of melody and bass.
    """

    tempo: str
    groove: str
    kick: str
    snare: str
    bass: str
    lead: str
    key: str

    @property
    def facts(self) -> dict[str, str]:
        """All of them, by name."""
        return asdict(self)

    @property
    def unseen(self) -> set[str]:
        """Which held-out combinations it has; training loops have none.

        `bindings`: each lead misses one tempo, and each tempo one lead.
        """
        at = FACTS["tempo"].index(self.tempo) + FACTS["lead"].index(self.lead)
        return {"bindings"} if at % 3 == 0 else set()


def invent(rng: np.random.Generator) -> Loop:
    """Any loop, all values equally often."""
    return Loop(**{name: values[int(rng.integers(len(values)))] for name, values in FACTS.items()})


def describe(loop: Loop, rng: np.random.Generator, whole: bool = False) -> str:
    """One of many ways to say it.

    Args:
        loop: What is said.
        rng: Chooses the words.
        whole: Whether all facts are said; else every other caption leaves some out, but not those
            of `ALWAYS`.
    """

    def pick(*ways: str) -> str:
        return ways[int(rng.integers(len(ways)))]

    told = {name: pick(*SAID_OTHERWISE.get(value, (value,))) for name, value in loop.facts.items()}
    if not whole and rng.random() < 0.5:
        for name in FACTS:  # in their order: that of a set is another in each process
            if name not in ALWAYS and rng.random() < 0.5:
                del told[name]
    beat = " ".join([told["tempo"], *([told["groove"]] if "groove" in told else [])])
    drums = [f"a {told['kick']} kick", *([f"a {told['snare']}"] if "snare" in told else [])]
    tones = [f"a {told['bass']} bass"] if "bass" in told else []
    tones += [f"a {told['lead']} {pick('lead', 'lead', 'melody')}"]
    played = drums + tones if rng.random() < 0.5 else tones + drums
    listed = ", ".join(played[:-1]) + f" and {played[-1]}"
    key = f"in {told['key']}"
    return pick(
        f"a {beat} beat with {listed} {key}",
        f"{beat} beat, {', '.join(played)}, {key}",
        f"{key}, a {beat} beat with {listed}",
    )


_VALUE = {word: (name, value) for name, values in FACTS.items() for value in values
          for word in SAID_OTHERWISE.get(value, (value,))}  # fmt: skip
_AFTER = {"kick": "kick", "bass": "bass", "lead": "(?:lead|melody)"}
"""Words that stand behind a value and say of what it is one."""
_NOISE = re.compile(r"\b(?:an?|the|with|and|in|beat|loop)\b|[,.]")


def understood(prompt: str) -> dict[str, str]:
    """Name -> value of the facts that a prompt in the words of `describe` asks for.

    Raises:
        UsageError: A part of it is in other words, or it says one thing twice.
    """
    rest, found = " ".join(prompt.lower().split()), dict[str, str]()
    for word, (name, value) in _VALUE.items():
        after = f" {_AFTER[name]}" if name in _AFTER else ""
        left = re.sub(rf"\b{word}{after}\b", "", rest)
        if left != rest:
            if name in found:
                raise UsageError(
                    f"the prompt {prompt!r} asks for two of {name}: {found[name]} and {value}; "
                    f"leave one out"
                )
            found[name], rest = value, left
    if not found or _NOISE.sub("", rest).strip():
        raise UsageError(
            f"the prompt {prompt!r} is in other words than the captions of loops, such as 'a fast "
            f"steady beat with a deep kick, a snare, a round bass and a bright lead in a minor'; "
            f"say it like this"
        )
    return found
