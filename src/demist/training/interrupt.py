"""Stopping in good order: finish the step, save, say how to go on."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")
"""Ctrl-C, a polite kill, a terminal that has gone, Slurm's warning, a console of Windows."""


class Interrupt:
    """Set by the first signal to stop; the second Ctrl-C raises KeyboardInterrupt.

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
def interruptible(interrupt: Interrupt | None = None) -> Iterator[Interrupt]:
    """Within the block, signals to stop set the interrupt instead of ending the process.

    It may be given, so that what comes after the block knows of them, too. Only the main thread can
    receive signals; elsewhere the interrupt is never set.
    """
    interrupt = Interrupt() if interrupt is None else interrupt
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt.receive) for number in stopping()}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopping() -> list[signal.Signals]:
    """The signals to stop that this system has, but for those that are ignored, as by `nohup`."""
    known = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) is not signal.SIG_IGN]
