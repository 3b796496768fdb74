"""What a job tells while it runs: steps, previews, and whether it should stop."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demist.errors import DemistError

WARNINGS = 20
"""Different warnings of a job that are told."""


class CancelledError(DemistError):
    """Somebody asked for the end of the job; not a fault."""


class Tell:
    """Handed to `run(settings, folder, tell)` of every kind of job.

    Nothing here waits for a reader: a preview that was not fetched is replaced by the next.
    """

    def __init__(self, job: str, folder: Path, send: Callable[[dict[str, Any], bytes], None]):
        self._job, self._folder, self._send = job, folder, send
        self._stop = threading.Event()
        self._last: dict[str, bytes] = {}
        self._warned: set[str] = set()
        self._began = time.monotonic()

    def step(self, number: int, of: int, **facts: Any) -> None:
        """Say that `number` of `of` steps are done; `facts` are JSON values to be shown.

        Raises:
            CancelledError: The job was cancelled: let it through, and nothing more is done.
        """
        seconds = round(time.monotonic() - self._began, 4)
        event = {"type": "step", "job": self._job, "step": number, "of": of, "seconds": seconds}
        self._send({**event, "facts": facts}, b"")
        if self._stop.is_set():
            raise CancelledError(f"cancelled after step {number} of {of}")

    def preview(self, name: str, data: bytes, at: float | None = None) -> None:
        """Show `data` as the file `name` of the job; the last one stays in its folder.

        Args:
            name: Of the file.
            data: What it holds.
            at: When its step ended, by `time.monotonic()`, so that a delay can be measured; None:
                now.
        """
        self._last[name] = data
        at = round(time.monotonic() if at is None else at, 4)
        self._send({"type": "preview", "job": self._job, "name": name, "at": at}, data)

    def warn(self, message: str) -> None:
        """Say what whoever asked for the job should know; the same words once."""
        if message not in self._warned and len(self._warned) < WARNINGS:
            self._warned.add(message)
            self._send({"type": "warned", "job": self._job, "message": message}, b"")

    def cancelled(self) -> bool:
        """Whether the job should stop."""
        return self._stop.is_set()

    def cancel(self) -> None:
        """Ask for the end; from another thread."""
        self._stop.set()

    def keep(self) -> None:
        """Write the last previews into the folder, for those who look later.

        Whole or not at all, but nobody waits for the disk: there may be one for each step, and the
        end of the job is told after them.
        """
        for name, data in self._last.items():
            if not (self._folder / name).exists():
                hidden = self._folder / f".{name}"
                hidden.write_bytes(data)
                hidden.replace(self._folder / name)
