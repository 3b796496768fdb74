"""The studio as one ASGI application: the guard, the page's files, and behind them the answers.

The files of the page are listed when the server begins, so that no address can name another; they
are answered here. What is below `/api/` is answered by `demist.studio.answers`, which is imported
when the first page is already on its way.
"""

import asyncio
import hashlib
import importlib
from collections.abc import Awaitable
from pathlib import Path

from demist.studio.events import Events
from demist.studio.guard import App, Door, Guard, Receive, Scope, Send, answer
from demist.studio.queue import Queue
from demist.studio.store import Store

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml",
    ".png": "image/png", ".safetensors": "application/octet-stream",
}  # fmt: skip


class Studio:
    """What the guard lets through.

    Attributes:
        runs: Folder in which run folders are.
        queue: The jobs.
        events: What the pages are told.
    """

    def __init__(self, runs: Path, folder: Path):
        self.runs, self.folder = runs, folder
        self.events = Events()
        self.queue = Queue(Store(folder), self.events, runs)
        self._page = page_files()
        self._answers: asyncio.Task[App] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"].startswith("/api/"):
            await (await self._api())(scope, receive, send)
        elif (path := self._page.get(scope["path"])) is not None:
            await _file(scope, send, path)
        else:
            await answer(send, 404, "there is no such page here")

    async def begin(self) -> None:
        """Take up the queue, and make ready what answers below `/api/`."""
        self.queue.begin()
        self._api()

    async def close(self) -> None:
        """End the worker and let go of all pages."""
        self.events.close()
        await self.queue.close()

    def _api(self) -> Awaitable[App]:
        if self._answers is None:
            self._answers = asyncio.create_task(self._import())
        return asyncio.shield(self._answers)

    async def _import(self) -> App:
        module = await asyncio.to_thread(importlib.import_module, "demist.studio.answers")
        made: App = module.make(self)
        return made

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.begin()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})


def build(runs: Path, folder: Path, door: Door) -> App:
    """The application, behind its guard."""
    return Guard(Studio(runs, folder), door)


def page_files() -> dict[str, Path]:
    """Every address of the page and its file."""
    found = {
        f"/{path.relative_to(PAGE).as_posix()}": path
        for path in PAGE.rglob("*")
        if path.suffix in TYPES and path.is_file()
    }
    return found | {"/": PAGE / "index.html"}


async def _file(scope: Scope, send: Send, path: Path) -> None:
    """A file of the page; a browser that has it already is told so."""
    data = path.read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1") == tag
    headers = {"etag": tag, "cache-control": "no-cache", "content-type": TYPES[path.suffix]}
    if not known:
        headers["content-length"] = str(len(data))
    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    status = 304 if known else 200
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send(
        {"type": "http.response.body", "body": b"" if known or scope["method"] == "HEAD" else data}
    )
