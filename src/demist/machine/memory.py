"""Memory: how much there is, what would not fit, and how much was used."""

import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from demist.errors import DataError

try:
    import resource
except ImportError:  # Windows
    _HAS_RESOURCE = False
else:
    _HAS_RESOURCE = True

SHARE = 0.6  # of the machine's memory; the rest is for the model, the system and other people


def memory_limit() -> int:
    """Bytes a data set may take: 60 % of the machine's memory (8 GB where that is unknown)."""
    try:
        return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 8 * 10**9


def free_memory() -> int | None:
    """Bytes that this process may still take without others being moved away; None: unknown."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        (line,) = [line for line in lines if line.startswith("MemAvailable")]
        found.append(1024 * int(line.split()[1]))
    groups = Path("/sys/fs/cgroup")  # of a container; version 2, then 1
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            limit = int((groups / most).read_text())
            found.append(limit - int((groups / used).read_text()))
    return min(found, default=None)


def fits(shape: Sequence[int]) -> bool:
    """Whether images of `shape`, one byte per value, would fit."""
    return math.prod(shape) <= memory_limit()


def check_memory(shape: Sequence[int], name: str, itemsize: int = 1) -> None:
    """Raise DataError if an array of `shape` with `itemsize` bytes per value would not fit."""
    needed, limit = math.prod(shape) * itemsize, memory_limit()
    if needed > limit:
        raise DataError(
            f"{name} would take {needed / 1e9:.1f} GB in memory as "
            f"{' x '.join(map(str, shape))}, more than the {limit / 1e9:.1f} GB allowed here "
            "(60 % of the machine): pass a smaller --size, or --limit to use fewer samples"
        )


def peak_memory() -> int:
    """Largest memory of this process so far, in bytes: of the GPU if it is used, else resident.

    0 where the system does not tell.
    """
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    if not _HAS_RESOURCE:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
