"""How large a value may be that comes from outside: in the settings of a job, or in a recipe."""

import math
from typing import Any

LARGEST, LONGEST, DEEPEST = 2**63 - 1, 20_000, 2
"""Of a whole number, the characters of a text, and lists in lists."""


def require_short(name: str, value: Any, depth: int = 0) -> None:
    """Check that nothing inside a setting is longer or deeper than anything that a job takes.

    Raises:
        ValueError: A number is too large, infinite or none, a text too long, or lists lie in lists
            in lists.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name[:40]} is {value}, which is no number that can be used")
    if isinstance(value, int) and abs(value) > LARGEST:
        power = (value.bit_length() - 1) * math.log10(2)
        raise ValueError(f"{name[:40]} is about 10 to the {power:.0f}; {LARGEST} is the most")
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise ValueError(f"{name[:40]} has {len(value)} characters; {LONGEST} are the most")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValueError(f"{name[:40]} holds half a character, which no file can hold")
    if isinstance(value, list | dict):
        if depth > DEEPEST:
            raise ValueError(f"{name[:40]} is too deep: lists in lists in lists")
        for one in (*value, *(value.values() if isinstance(value, dict) else ())):
            require_short(name, one, depth + 1)
