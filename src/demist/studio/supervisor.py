"""Holds the worker: starts it when it is needed, hears it, and starts another when it dies."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from demist.errors import DataError, DemistError, TryAgainError, UsageError
from demist.studio import frames

Heard = Callable[[dict[str, Any], bytes], None]
PATIENCE = 120.0
"""Seconds for an answer; the first needs the worker, which imports torch."""


class Supervisor:
    """The server's side of the one process that owns the device.

    Attributes:
        pid: Of the worker; None while there is none.
    """

    def __init__(
        self, log: Path, told: Mapping[str, str], hear: Heard, died: Callable[[str], None]
    ):
        """Nothing starts before the first frame is sent.

        Args:
            log: File for what the worker prints.
            told: Variables of its environment.
            hear: Called with every frame that is about a job.
            died: Called with the reason, in words, when the worker has ended by itself.
        """
        self._log, self._told, self._hear, self._died = log, told, hear, died
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0

    @property
    def pid(self) -> int | None:
        """See the class."""
        return self._process.pid if self._process is not None else None

    async def send(self, header: dict[str, Any]) -> None:
        """Send a frame, to a new worker if there is none.

        Raises:
            TryAgainError: The worker cannot be started, or has just ended.
        """
        async with self._starting:
            if self._process is None:
                await self._start()
            process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(frames.pack(header))
            await process.stdin.drain()
        except OSError:
            raise TryAgainError("the worker has just ended; another starts: try again") from None

    async def ask(self, question: dict[str, Any]) -> Any:
        """The worker's answer to a short question.

        Raises:
            UsageError: The answer is that the question makes no sense.
            TryAgainError: There is no answer: the worker ended, or is too slow.
        """
        self._count += 1
        number = self._count
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await self.send({**question, "question": number})
            found = await asyncio.wait_for(answer, PATIENCE)
        except TimeoutError:
            raise TryAgainError(f"the worker gave no answer in {PATIENCE:.0f} s") from None
        finally:
            self._answers.pop(number, None)
        if "error" in found:
            raise (UsageError if found.get("usage") else DataError)(found["error"])
        return found["value"]

    def kill(self) -> None:
        """End the worker at once; a job that does not react to a cancel ends so."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End the worker with the server."""
        reader, process, self._reader = self._reader, self._process, None
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]  # no public way to close pipes
        self._process = None

    async def _start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._log.open("wb") as log:
                # -P: a file torch.py in the working folder is not what is meant by torch
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-m", "demist.studio.worker",
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
                    limit=frames.LONGEST_LINE, start_new_session=True,
                    env={**os.environ, **self._told},
                )  # fmt: skip
        except OSError as error:
            raise TryAgainError(f"the worker cannot be started: {error.strerror}") from None
        self._reader = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hear frames until the worker ends, and say why it did."""
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                header, size = frames.header_of(line)
                data = await process.stdout.readexactly(size) if size else b""
                if header.get("type") == "answer":
                    self._answer(header)
                else:
                    self._hear(header, data)
        except (DemistError, ValueError, asyncio.IncompleteReadError):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        code = await process.wait()
        self._process = None
        reason = ending(code, self._log)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(TryAgainError(reason))
        self._died(reason)

    def _answer(self, header: dict[str, Any]) -> None:
        answer = self._answers.get(header["question"])
        if answer is not None and not answer.done():
            answer.set_result(header)


def ending(code: int, log: Path) -> str:
    """Why a worker has ended, in words."""
    if code == -signal.SIGKILL:
        return (
            "the worker was killed, as the system does when memory runs out; ask for fewer or "
            "smaller samples. A new worker starts with the next job"
        )
    if code < 0:
        name = signal.strsignal(-code) or f"signal {-code}"
        what = f"the worker crashed ({name})"
    else:
        what = f"the worker ended with code {code}"
    last = ""
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace")[-4000:].strip().splitlines()
        last = f": {lines[-1][:300]}" if lines else ""
    return f"{what}{last}; a new worker starts with the next job. {log.name} says more"
