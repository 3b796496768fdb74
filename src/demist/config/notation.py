"""How values are written: durations, cadences and sizes."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

from demist.errors import UsageError
from demist.io.notation import parse_sides

DEFAULT_BUDGET = "10m"


def parse_duration(text: str) -> float:
    """Seconds in `"90s"`, `"5m"`, `"1h30m"`, `"2d"`, `"1.5h"` or a bare number of seconds.

    Raises:
        UsageError: The text is something else, or not above zero.
    """
    match = re.fullmatch(
        r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?",
        text.strip().lower(),
    )
    parts = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(unit * part for unit, part in zip((86400, 3600, 60, 1), parts, strict=False))
    if not 0 < seconds < math.inf:
        raise UsageError(f"{text!r} is not a duration above zero; write 90s, 5m or 1h30m")
    return seconds


def duration_text(seconds: float) -> str:
    """The notation of a duration: `"1h30m"`, `"7m30s"`, `"2.5s"`."""
    whole, rest = divmod(round(seconds, 6), 60)
    hours, minutes = divmod(int(whole), 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{n:.9g}{unit}" for n, unit in parts if n) or "0s"


def parse_share(text: str) -> float | None:
    """0.25 of `"25%"`; None of what is no percentage.

    Raises:
        UsageError: It is not between 0 and 100 %.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip())
    if match is None:
        return None
    if not 0 < float(match[1]) < 100:
        raise UsageError(f"{text!r} is not a share between 0% and 100%")
    return float(match[1]) / 100


def check_part(text: str) -> None:
    """Check a part of a run: a duration (`"5m"`), a share (`"25%"`) or `"2000steps"`.

    Raises:
        UsageError: It is something else.
    """
    if re.fullmatch(r"0*[1-9]\d* ?steps", text.strip()) or parse_share(text):
        return
    try:
        parse_duration(text)
    except UsageError:
        raise UsageError("write a duration (5m), a share (25%) or a number (2000steps)") from None


def parse_cadence(text: str) -> tuple[int | None, float | None]:
    """(steps, None) of `"500"`, or (None, seconds) of `"60s"`."""
    if re.fullmatch(r"\d+", text.strip()):
        if int(text) == 0:
            raise UsageError("'0' is not a cadence; write a number of steps (500) or a time (60s)")
        return int(text), None
    return None, parse_duration(text)


def parse_evaluations(times: tuple[float, ...]) -> tuple[float, ...]:
    """The times at which a distilled model is asked, as they are.

    Raises:
        UsageError: They are not 1, or 1 and one between.
    """
    first, *rest = times or (0.0,)
    if first != 1 or len(rest) > 1 or any(not 0 < t < 1 for t in rest):
        raise UsageError("write 1, or 1 and a time between 0 and 1")
    return times


def require_utf8(name: str, value: Any) -> None:
    """Check that a TOML file can hold the value of an option.

    Raises:
        UsageError: It is a name of bytes that are not UTF-8.
    """
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{name} = {str(value)!a}: this is not UTF-8, which config.toml needs; rename it, or "
            f"use a link with another name"
        ) from None


def parse_list(text: str) -> tuple[str, ...]:
    """The parts in `"a,b:x=1,y=2,c"`: `a`, `b:x=1,y=2` and `c`."""
    found: list[str] = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        if found and ":" in found[-1] and "=" in piece.partition(":")[0]:
            found[-1] += f",{piece}"
        else:
            found.append(piece)
    return tuple(found)


def check_size(size: int | str) -> None:
    """Check a side (`64`), or height x width (`"48x64"`).

    Raises:
        UsageError: It is something else, or a side is not from 4 to 1024.
    """
    for side in parse_sides(size):
        if not 4 <= side <= 1024:
            raise UsageError("must be at least 4 and at most 1024 pixels")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: what was perhaps meant, or what there is."""
    known = list(known)
    near = difflib.get_close_matches(word.replace("-", "_"), known, n=1, cutoff=0.5)
    near = near or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; choose one of {', '.join(known)}"
