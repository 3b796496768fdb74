"""What many images were, counted while they are read: the reader's part of a report."""

import hashlib
from array import array
from collections import Counter
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from demist.data.images.decode import Found
from demist.data.images.levels import FILLED, in_words
from demist.data.images.rules import CUTS, Rules
from demist.data.report import Report

_GREY = ("1", "L", "LA", "La", "I", "F")
_HASH = 8  # bytes of a hash: enough to tell a billion files apart


class Tally:
    """Counts what `examine` finds."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._sides: Counter[tuple[int, int]] = Counter()
        self._kept = array("f")
        self._hashes: set[bytes] = set()
        self._modes: Counter[str] = Counter()
        self._enlarged = self._transparent = self._plain = self._equal = 0
        self._several = self._dropped = self._grey = 0
        self._low, self._high = 255, 0

    def add(self, found: Found, pixels: UInt8[np.ndarray, "c h w"], key: bytes) -> None:
        """Count one image.

        Args:
            found: What it was.
            pixels: What it became.
            key: Hash of its file; see `key_of`.
        """
        self._sides[found.sides] += 1
        rules = self._rules.of(found.sides)
        if rules.sides is not None:
            self._kept.append(kept_of(found.sides, rules))
            self._enlarged += is_enlarged(found.sides, rules)
        self._low = min(self._low, int(pixels.min()))
        self._high = max(self._high, int(pixels.max()))
        self._modes[found.mode] += 1
        self._grey += len(pixels) == 1
        self._transparent += found.transparent
        self._plain += bool((pixels == pixels[:, :1, :1]).all())
        self._several += found.frames > 1
        self._dropped += found.frames - 1
        self._equal += key in self._hashes
        self._hashes.add(key)

    def report(self, channels: int, seen: Report, deep: str = "") -> Report:
        """`seen` with what was counted.

        Args:
            channels: Of the images now.
            seen: What is known already.
            deep: What became of numbers that are not bytes, in words.
        """
        if not self._sides:
            return seen
        by_area = sorted(self._sides, key=lambda sides: (sides[0] * sides[1], sides))
        return replace(
            seen,
            before=(by_area[0], by_area[-1]),
            kept=float(np.median(self._kept)) if self._kept else 1.0,
            enlarged=self._enlarged,
            transparent=self._transparent,
            background=self._rules.background,
            plain=self._plain,
            converted=self._converted(channels, deep),
            fit=self._rules.fit,
            notes=(*seen.notes, *dark(self._low, self._high)),
            several=self._several,
            dropped=self._dropped,
            equal=self._equal,
        )

    def _converted(self, channels: int, deep: str) -> dict[str, int]:
        grey = sum(n for mode, n in self._modes.items() if mode.partition(";")[0] in _GREY)
        modes = {mode: mode.partition(";")[0] for mode in self._modes}
        numbers = sum(n for mode, n in self._modes.items() if modes[mode] in ("I", "F"))
        counts = {
            "grey made colour": self._grey if self._rules.channels is None else grey,
            "from a palette": self._modes["P"] + self._modes["PA"],
            "from CMYK": self._modes["CMYK"],
        }
        if self._rules.levels is not None:
            counts[in_words(self._rules.levels)] = self._modes.total()
        elif deep:
            counts[deep] = numbers
        if channels == 1:
            counts["grey made colour"] = 0
        if self._rules.channels == 1:
            counts["colour made grey"] = self._modes.total() - grey
        return {what: n for what, n in counts.items() if n}


def kept_of(sides: tuple[int, int], rules: Rules) -> float:
    """Share of an image's area that is left."""
    if rules.sides is None or rules.fit not in CUTS:
        return 1.0
    (height, width), (h, w) = sides, rules.sides
    return min(width * h, height * w) / max(width * h, height * w)


def is_enlarged(sides: tuple[int, int], rules: Rules) -> bool:
    """Whether an image has fewer pixels than it is brought to."""
    if rules.sides is None:
        return False
    scales = [new / old for new, old in zip(rules.sides, sides, strict=True)]
    return (min(scales) if rules.fit == "pad" else max(scales)) > 1


def dark(low: int, high: int) -> tuple[str, ...]:
    """A note, if bytes fill hardly any of their range."""
    if high - low >= FILLED * 255 or high == low:
        return ()
    return (
        f"Pixels reach only from {low} to {high} of 0 to 255; --range {low}:{high} makes them "
        "black to white.",
    )


def key_of(data: bytes) -> bytes:
    """Equal for equal files."""
    return hashlib.blake2b(data, digest_size=_HASH).digest()
