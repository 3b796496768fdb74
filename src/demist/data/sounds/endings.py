"""What files of sound are called."""

import posixpath

ENDINGS = (".wav", ".wave", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".aifc")
"""In lower case."""


def is_sound(name: str) -> bool:
    """Whether a file is called like a sound."""
    return posixpath.splitext(name)[1].lower() in ENDINGS
