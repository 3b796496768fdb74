"""How many processor threads to compute with.

An operation on all cores ends when its last thread does. With another busy process on one of the
cores that thread waits for its turn, at every one of the thousands of operations of a step, and all
cores together can be ten times slower than one. So the number is measured.
"""

import os
import time
from collections.abc import Iterator

import torch
from torch.nn import functional

REPEATS, LAYERS = 3, 8


def fastest_threads() -> int:
    """The number of threads, all of torch's, half, ... or 1, that is fastest now.

    What the environment fixes (`OMP_NUM_THREADS`) is kept. Takes a tenth of a second on a machine
    with nothing else to do.
    """
    all_of_them = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ or all_of_them == 1:
        return all_of_them
    seconds: dict[int, list[float]] = {count: [] for count in _halved(all_of_them)}
    for _ in range(REPEATS):
        for count in seconds:
            torch.set_num_threads(count)
            _convolve(1)  # wakes the threads
            start = time.perf_counter()
            _convolve(LAYERS)
            seconds[count].append(time.perf_counter() - start)
    torch.set_num_threads(all_of_them)
    # The slower half of the times: a busy machine is not busy all the time.
    return min(seconds, key=lambda count: sum(sorted(seconds[count])[REPEATS // 2 :]))


@torch.no_grad()
def _convolve(layers: int) -> None:
    x, weight = torch.ones(32, 32, 14, 14), torch.full((32, 32, 3, 3), 1e-3)
    for _ in range(layers):
        x = functional.silu(functional.conv2d(x, weight, padding=1))


def _halved(count: int) -> Iterator[int]:
    while count > 1:
        yield count
        count //= 2
    yield 1
