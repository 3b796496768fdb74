"""Sounds from files: decoded, mixed to one channel, resampled, held in memory or left on the disk.

How a folder is understood is said where images are; see `demist.data.images.layout`.
"""

__all__ = [
    "clips",
    "cut",
    "decode",
    "endings",
    "read",
    "write",
]
