"""Processes that do not outlive the one that started them, and say how they ended."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
CODES = "DEMIST_EXIT_CODES"
"""Environment variable: a folder in which a process that fails leaves its exit code."""


def die_with_parent() -> None:
    """Make sure that this process does not outlive the one that started it, however that ends."""
    parent = os.getppid()
    kill_with_parent()

    def watch() -> None:  # also where there is no prctl, or where the parent was gone before it
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def kill_with_parent() -> None:
    """Ask the system to kill this process when its parent ends, where it can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def leave_code(code: int) -> None:
    """Tell a supervisor, if there is one, how this process ends: `torchrun` passes nothing on."""
    folder = os.environ.get(CODES)
    if folder and code:
        with contextlib.suppress(OSError):
            Path(folder, os.environ.get("RANK", "0")).write_text(str(code))


def codes_left(folder: Path) -> list[int]:
    """The exit codes left in `folder`, the first process's first; they are removed."""
    codes = []
    for path in sorted(folder.iterdir(), key=lambda path: int(path.name)):
        codes.append(int(path.read_text()))
        path.unlink()
    return codes
