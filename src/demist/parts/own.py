"""Parts of your own: classes outside the package, which a program lets be named, saved and loaded.

A file only ever names them; it is the program that brings them, with `Family.register` or by
passing one where a name may stand.
"""

import re
from typing import Any

OWN: dict[tuple[str, str], dict[str, type]] = {}
"""Package and base class of a family -> name -> class."""

FAMILIES: list[Any] = []
"""Every family there is."""


def name_of(cls: type) -> str:
    """The name that a class gives itself, or that of the class in small letters: `slow-start`."""
    name = str(cls.__dict__.get("name", ""))
    return name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()


def spec_of(value: Any) -> Any:
    """How a part is written that a program gives as an object or class; anything else as it is.

    A class of your own is registered by this.

    Raises:
        UsageError: It cannot be written, or its name is taken.
    """
    for family in FAMILIES:
        if isinstance(value, family.base) or (
            isinstance(value, type) and issubclass(value, family.base)
        ):
            return family.spec_of(value)
    return value
