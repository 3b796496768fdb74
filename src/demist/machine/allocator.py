"""Memory that is freed is about to be wanted again."""

import ctypes
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's parameters, as in glibc's malloc.h
KEPT, LARGEST = 256 * 2**20, 32 * 2**20  # bytes; glibc allows no larger block on its heap


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep what activations used, instead of giving it back at every step.

    By default each block that is large goes back to the kernel and is fetched anew, page by page:
    a third of the time of guided sampling on a CPU. Up to 256 MB stay with the process. Once per
    process; False where the C library has no such setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(TRIM_THRESHOLD, KEPT) and mallopt(MMAP_THRESHOLD, LARGEST))
    except (AttributeError, OSError, TypeError):
        return False
