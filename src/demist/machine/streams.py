"""Standard streams that may be missing, full or closed by their reader: no reason to end work."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Tolerant:
    """A text stream, or none, where what cannot be written is left out.

    Everything else is the stream's own.

    Args:
        stream: Where to; None is what Python has for a stream that was closed when it began.
        failures: Errors that are passed over.
    """

    def __init__(self, stream: Any, failures: type[OSError] = OSError) -> None:
        self._stream, self._failures = stream, failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, if it can be written; how many characters were given."""
        if self._open():
            with contextlib.suppress(self._failures):
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, if that is possible."""
        if self._open():
            with contextlib.suppress(self._failures):
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return self._open() and bool(self._stream.isatty())

    def _open(self) -> bool:
        return self._stream is not None and not getattr(self._stream, "closed", False)


def tell(message: str, stream: Any = None) -> None:
    """Print a line for a person, by default on standard error; it is lost if nobody can read it."""
    print(message, file=cast(TextIO, Tolerant(stream or sys.stderr)), flush=True)


@contextlib.contextmanager
def tolerated(whole: bool) -> Iterator[None]:
    """Within the block, standard streams that fail end nothing.

    Standard error, and a reader of standard output that has left, are passed over always.

    Args:
        whole: Pass over all failures of standard output, such as a full disk below it, for work
            whose result is elsewhere.
    """
    before = {name: getattr(sys, name) for name in ("stdin", "stdout", "stderr")}
    with contextlib.ExitStack() as opened:
        for name, stream in before.items():
            if stream is None:  # a file opened later must not get the number of a closed stream
                file = os.fdopen(os.open(os.devnull, os.O_RDWR), "r" if name == "stdin" else "w")
                setattr(sys, name, opened.enter_context(file))
        kind = OSError if whole else BrokenPipeError
        sys.stdout = cast(TextIO, Tolerant(sys.stdout, kind))
        sys.stderr = cast(TextIO, Tolerant(sys.stderr))
        try:
            yield
        finally:
            for name, stream in before.items():
                setattr(sys, name, stream)
            for stream in (before["stdout"], before["stderr"]):
                settle(stream)


def settle(stream: Any) -> None:
    """Give up what a stream cannot write: Python would try again at exit, and change its code."""
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
