"""Images from files: decoded, laid out in folders, described by tables, kept on the disk."""

__all__ = [
    "aside",
    "buckets",
    "classes",
    "companions",
    "decode",
    "divide",
    "finder",
    "further",
    "layout",
    "lazy",
    "levels",
    "lists",
    "metadata",
    "pack",
    "read",
    "rules",
    "store",
    "tables",
    "tally",
    "told",
]
