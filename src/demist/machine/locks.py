"""Locks on open files. The system releases them when the process ends, however it ends."""

import os
import time
from pathlib import Path
from typing import Any

_msvcrt: Any = None
try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    _msvcrt = msvcrt

CLOSE_ON_EXEC: int = getattr(os, "O_CLOEXEC", 0)
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""Flags of `os.open` where the system has them: a handle that children do not get, and no links."""
FOLDERS_OPEN = hasattr(os, "O_DIRECTORY")
"""Whether a folder can be opened, to be locked or flushed to the disk; on Windows it cannot."""
_FAR, _PAUSE = 2**30, 0.05  # Windows locks bytes, which others cannot read: one behind all content


def lock(handle: int, *, wait: bool = False, shared: bool = False) -> bool:
    """Lock an open file until it is closed.

    Args:
        handle: As `os.open` gives it.
        wait: Wait until nobody else holds it.
        shared: Only others' exclusive locks stand in the way. Windows has no such locks.

    Returns:
        Whether it is locked now; False only without `wait`.

    Raises:
        OSError: The file system has no locks.
    """
    if _msvcrt is None:
        kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        try:
            fcntl.flock(handle, kind)
        except BlockingIOError:
            return False
        return True
    while True:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            _msvcrt.locking(handle, _msvcrt.LK_NBLCK, 1)
            return True
        except OSError:
            if not wait:
                return False
        time.sleep(_PAUSE)


def open_folder(folder: Path) -> int:
    """A handle that stands for a folder, to be locked; where none can be opened, `.lock` in it."""
    if FOLDERS_OPEN:
        return os.open(folder, os.O_RDONLY)
    return os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
