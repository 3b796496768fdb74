"""Stopping in good order: finish the step, save, say how to go on."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupt:
    """Set by the first Ctrl-C, SIGTERM or SIGUSR1; the second Ctrl-C raises KeyboardInterrupt.

    Attributes:
        signal: Name of the signal received, or empty.
    """

    def __init__(self) -> None:
        self.signal = ""

    def __bool__(self) -> bool:
        return bool(self.signal)

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal."""
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Within the block, signals to stop set the interrupt instead of ending the process.

    Only the main thread can receive signals; elsewhere the interrupt is never set.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    names = ("SIGINT", "SIGTERM", "SIGUSR1")  # Windows lacks the last
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt.receive) for number in numbers}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
