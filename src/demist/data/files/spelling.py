"""Names of files whose bytes are not UTF-8, as old archives and other systems have them.

Python holds such bytes as lone surrogates, which neither JSON nor a terminal takes.
"""

import os


def portable(name: str) -> str:
    """A name as it can be written into JSON; `original` gives it back."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "\0" + os.fsencode(name).decode("latin-1")
    return name


def original(text: str) -> str:
    """The name that `portable` wrote."""
    return os.fsdecode(text[1:].encode("latin-1")) if text.startswith("\0") else text


def printable(name: str) -> str:
    r"""A name for people: bytes that are not UTF-8 as `\xe9`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
