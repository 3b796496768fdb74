"""Where files are: a folder, an archive, a folder of archives."""

__all__ = [
    "folder",
    "shards",
    "tar",
    "tree",
]
