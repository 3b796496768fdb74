"""Server-sent events: everybody hears what happens, and who listens slowly hears the latest.

A small preview travels in its event, if it is still the newest when that is sent: the page need not
ask for it, and nothing is kept twice.
"""

import asyncio
import base64
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from demist.errors import TryAgainError

REMEMBERED = 1000
"""Events that a page which comes back can still be told; of more it reads the jobs again."""
LISTENERS = 128
"""Pages at once."""
HEARTBEAT = 15.0
"""Seconds of silence after which a line goes out, so that a dead connection is noticed."""
SMALL = 2**16
"""Bytes up to which a preview travels in its event."""
TOGETHER = 0.002
"""Seconds to wait for what is told at once, such as a preview and its step."""
BREATH = 1 / 60
"""Seconds from one piece of news to the next: what comes faster than a screen draws is one."""
_PASSING = ("step", "preview")


class Mailbox:
    """What one page has not been told yet: of steps and previews of a job only the last.

    A page that has missed more than `REMEMBERED` of the rest is told to read the jobs again.
    """

    def __init__(self) -> None:
        self._waiting: dict[Any, tuple[str, dict[str, Any]]] = {}
        self._ready = asyncio.Event()

    def put(self, number: str, event: dict[str, Any]) -> None:
        """Add an event; replaces a step or a preview that was not fetched yet."""
        key: Any = number
        if event.get("type") in _PASSING:
            key = (event["type"], event.get("job"), event.get("name"))
            self._waiting.pop(key, None)
        if len(self._waiting) >= REMEMBERED:
            self._waiting = {None: (number, {"type": "reset"})}
        self._waiting[key] = number, event
        self._ready.set()

    def wake(self) -> None:
        """End the waiting, although there may be nothing."""
        self._ready.set()

    async def get(self, patience: float) -> list[tuple[str, dict[str, Any]]]:
        """All that waits, in order; after `patience` seconds nothing."""
        try:
            await asyncio.wait_for(self._ready.wait(), patience)
        except TimeoutError:
            return []
        await asyncio.sleep(TOGETHER)
        self._ready.clear()
        found, self._waiting = list(self._waiting.values()), {}
        return found

    def __len__(self) -> int:
        return len(self._waiting)


class Events:
    """All events since the server began, and who listens to them.

    Attributes:
        boxes: Of the pages that listen.
        previews: The newest of each name: its version and its bytes, by job and name.
    """

    def __init__(self) -> None:
        self.previews: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._begun = secrets.token_hex(4)  # numbers of another start mean nothing here
        self._count = 0
        self._past: deque[tuple[int, dict[str, Any]]] = deque(maxlen=REMEMBERED)
        self.boxes: set[Mailbox] = set()
        self._closed = False

    def tell(self, event: dict[str, Any]) -> None:
        """Tell everybody; never waits."""
        self._count += 1
        if event["type"] not in _PASSING:
            self._past.append((self._count, event))
        for box in self.boxes:
            box.put(f"{self._begun}-{self._count}", event)

    def enter(self, last: str | None = None) -> Mailbox:
        """A place for one more page, which it keeps until `leave`.

        Args:
            last: Number of the last event that it has heard, if it was here before. What it missed
                comes first; where that is not known any more, an event `reset`.

        Raises:
            TryAgainError: There are too many.
        """
        if len(self.boxes) >= LISTENERS:
            raise TryAgainError(f"{LISTENERS} pages are open already; close one")
        box = Mailbox()
        for number, event in self._missed(last):
            box.put(f"{self._begun}-{number}", event)
        self.boxes.add(box)
        return box

    def leave(self, box: Mailbox) -> None:
        """The page is gone."""
        self.boxes.discard(box)

    async def listen(self, box: Mailbox) -> AsyncIterator[bytes]:
        """What a page is sent, until the server ends."""
        yield b"retry: 1000\n\n"
        while not self._closed:
            told = await box.get(HEARTBEAT)
            lines = [_line(number, self._whole(event)) for number, event in told]
            yield b"".join(lines) or b": quiet\n\n"
            await asyncio.sleep(BREATH)

    def close(self) -> None:
        """Let go of everybody: the server ends."""
        self._closed = True
        for box in self.boxes:
            box.wake()

    def _whole(self, event: dict[str, Any]) -> dict[str, Any]:
        """A preview with its bytes, unless they are many or there is a newer one already."""
        if event["type"] != "preview":
            return event
        version, data = self.previews.get((event["job"], event["name"]), (None, b""))
        if version is None or version != event.get("version") or len(data) > SMALL:
            return event
        return event | {"data": base64.b64encode(data).decode()}

    def _missed(self, last: str | None) -> list[tuple[int, dict[str, Any]]]:
        if last is None:
            return []
        begun, _, number = last.partition("-")
        oldest = self._past[0][0] if len(self._past) == REMEMBERED else 0
        known = begun == self._begun and number.isascii() and number.isdigit()
        if not known or int(number) < oldest - 1:
            return [(self._count, {"type": "reset"})]
        return [(count, event) for count, event in self._past if count > int(number)]


def _line(number: str, event: dict[str, Any]) -> bytes:
    return f"id: {number}\ndata: {json.dumps(event)}\n\n".encode()
