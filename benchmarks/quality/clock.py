"""The clock that training is charged by: processor time of this process, all threads together."""

import contextlib
import time
from collections.abc import Iterator


class CpuClock:
    """Processor seconds since it was made, without what is done while it is paused.

    On a machine with other work this is what training costs; the clock on the wall is not.
    """

    def __init__(self) -> None:
        self._start = time.process_time()

    def __call__(self) -> float:
        return time.process_time() - self._start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do something that is not charged, such as writing a checkpoint."""
        before = time.process_time()
        try:
            yield
        finally:
            self._start += time.process_time() - before


class Marks:
    """Times at which the weights are to be saved, in increasing order.

    Args:
        seconds: The marks; the largest is usually the budget.
    """

    def __init__(self, seconds: list[float]) -> None:
        self._left = sorted(seconds)

    def due(self, now: float, done: bool) -> list[float]:
        """The marks reached at time `now`; all that are left when training is `done`."""
        found = [mark for mark in self._left if done or mark <= now]
        self._left = self._left[len(found) :]
        return found
