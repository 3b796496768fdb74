"""What a person sees of a training run: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import deque
from io import TextIOBase
from typing import Any, Protocol, TextIO, cast, runtime_checkable

from tqdm import tqdm

from demist.machine.streams import Tolerant
from demist.runs import RECENT


@runtime_checkable
class Shown(Protocol):
    """What is shown of a state of training; see `demist.training.fit.TrainState`."""

    step: int
    images: int
    seconds: float
    progress: float
    loss: float


class Progress:
    """Shows loss, speed and the time left; a stream that fails shows nothing, and that is all.

    Args:
        quiet: Show nothing at all.
        stream: Where to; default standard error.
        every: Seconds between lines where there is no terminal.
    """

    def __init__(self, quiet: bool = False, stream: TextIOBase | None = None, every: float = 10.0):
        self._stream = cast(TextIO, Tolerant(sys.stderr if stream is None else stream))
        self._bar: Any = None
        self._every = 0.2 if self._stream.isatty() else every
        self._quiet, self._last, self._losses = quiet, time.monotonic(), deque[float](maxlen=RECENT)
        self._mark: tuple[float, int] | None = None
        self.note = ""  # shown behind loss and speed

    def show(self, state: Shown) -> None:
        """Take in a step, and show it if it is time."""
        if state.loss == state.loss:
            self._losses.append(state.loss)
        self._mark = self._mark or (state.seconds, state.images)
        if self._quiet or time.monotonic() - self._last < self._every:
            return
        self._last = time.monotonic()
        speed = self.speed(state)
        text = f"loss {sum(self._losses) / max(1, len(self._losses)):.4f}" + (
            f"  {speed:,.0f}/s" if speed else ""
        )
        text += f"  {self.note}" if self.note else ""
        if not self._stream.isatty():
            done, left = f"{min(state.progress, 1):4.0%}", clock_face(remaining(state))
            print(f"step {state.step}  {done}  {text}  {left} left", file=self._stream, flush=True)
            return
        if self._bar is None:
            layout = "{percentage:3.0f}% {bar:30} {postfix}"
            self._bar = tqdm(total=1.0, bar_format=layout, file=self._stream)
        self._bar.n = min(state.progress, 1.0)
        self._bar.set_postfix_str(f"step {state.step}  {text}  {clock_face(remaining(state))} left")

    def say(self, message: str) -> None:
        """Print a line without disturbing the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        print(message, file=self._stream, flush=True)

    def speed(self, state: Shown) -> float:
        """Items per second since this process started training."""
        seconds, images = self._mark or (0.0, 0)
        return (state.images - images) / max(state.seconds - seconds, 1e-9)

    def close(self) -> None:
        """Leave the bar as it is and go to a new line."""
        if self._bar is not None:
            self._bar.close()


def remaining(state: Shown) -> float:
    """Seconds left at the pace so far."""
    return state.seconds * (1 - state.progress) / max(state.progress, 1e-9)


def clock_face(seconds: float) -> str:
    """`1:05`, or `2:03:04`."""
    whole = max(0, round(min(seconds, 1e9)))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
