"""A watchdog: a run that hangs ends, saying where it hung, so that a supervisor can start it again.

A step may hang in a file system that has gone, a driver or a peer that will never answer. Nothing
inside the step can notice, so a thread does: if nobody has called `beat` for so long, it prints the
stack of every thread and ends the process at once with exit code 75 (try again). The clock is
monotonic, so setting the time of day wakes nobody.
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator

from demist.errors import TryAgainError
from demist.machine.streams import tell


class Watchdog:
    """Ends the process after `seconds` without a `beat`."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._last = time.monotonic()
        self._stop = threading.Event()

    def beat(self) -> None:
        """Say that all is well."""
        self._last = time.monotonic()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Within the block, watch."""
        self.beat()
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(max(0.05, min(10.0, self.seconds / 4))):
            if time.monotonic() - self._last > self.seconds:
                self._give_up()

    def _give_up(self) -> None:
        message = (
            f"demist: no step was finished in {self.seconds:g} seconds, so this run hangs; below "
            f"is where. It ends now and can be resumed; if steps take that long, raise --patience"
        )
        tell(message, sys.__stderr__)
        if sys.__stderr__ is not None:
            faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        os._exit(TryAgainError.exit_code)
