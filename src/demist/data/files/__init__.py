"""Where files are: a folder, an archive, a folder of archives."""

__all__ = [
    "folder",
    "packed",
    "shards",
    "spelling",
    "tar",
    "tree",
    "zips",
]
