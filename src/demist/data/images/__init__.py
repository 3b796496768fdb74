"""Images from files: decoded, laid out in folders, described by tables, kept on the disk."""

__all__ = [
    "decode",
    "further",
    "layout",
    "lazy",
    "metadata",
    "pack",
    "read",
    "tally",
]
