"""When something is due: every so many steps, or every so many seconds."""

import math
import time
from typing import Any

from demist.config import parse_cadence


class Cadence:
    """Says when something is due.

    What is due every so many seconds gets at most a tenth of the time, if `done` is called after
    it: on a slow machine an image a minute would leave no time to train.

    Args:
        text: `500` (steps) or `60s`.
        clock: Seconds, monotonic: setting the time of day changes nothing.
    """

    def __init__(self, text: str, clock: Any = time.monotonic):
        self._steps, self._seconds = parse_cadence(text)
        self._clock, self._last = clock, clock()
        self._rest, self._due = 0.0, False

    def due(self, step: int) -> bool:
        """Whether it is due after step `step`."""
        self._due = self._is_due(step)
        return self._due

    def done(self) -> None:
        """It has been done after that step; where it was not due, nothing later is put off."""
        if self._due:
            self._rest = 10 * (self._clock() - self._last)

    def _is_due(self, step: int) -> bool:
        if self._steps is not None:
            return step % self._steps == 0
        if self._clock() - self._last < max(self._seconds or math.inf, self._rest):
            return False
        self._last = self._clock()
        return True
