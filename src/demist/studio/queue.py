"""The queue: one job at a time to the worker, its steps to the pages, its state to the disk."""

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any

from demist.errors import DemistError, UsageError
from demist.studio.events import Events
from demist.studio.store import OVER, Store
from demist.studio.supervisor import Supervisor

WAITING = 500
"""Jobs in the queue at most."""
GRACE = 10.0
"""Seconds that a job has to react to a cancel; then its process is ended."""
LISTED = 4000
"""Characters of a setting up to which a list of jobs has it."""
PREVIEWS = 2**26
"""Bytes of previews kept in memory, of all jobs together."""


class Queue:
    """What is to be done, in order, and what is being done.

    Attributes:
        running: The id of the job that the worker has; None while it has none.
    """

    def __init__(self, store: Store, events: Events, runs: Path):
        self.store, self.events = store, events
        self.running: str | None = None
        self.waiting: list[str] = []
        self.previews = events.previews
        # A run folder that somebody sent may name data and models: a click does not fetch them.
        offline = os.environ.get("HF_HUB_OFFLINE", "1")
        told = {"DEMIST_STUDIO_RUNS": str(runs), "HF_HUB_OFFLINE": offline}
        self.worker = Supervisor(store.folder / "worker.log", told, self._heard, self._died)
        self._facts: dict[str, Any] = {}
        self._wish = asyncio.Event()
        self._free = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._version = 0
        self._asked_to_stop: str | None = None

    def begin(self) -> None:
        """Take up what an earlier server left: its queue goes on, what it was doing has failed."""
        found = [job for job in self.store.all() if job["state"] not in OVER]
        for job in found:
            if job["state"] == "running":
                words = "the studio was closed while this ran; ask for it again"
                self.store.write_state(job["id"], "failed", message=words)
        queued = [job for job in found if job["state"] == "queued"]
        places = {job: place for place, job in enumerate(self.store.order())}
        queued.sort(key=lambda job: places.get(job["id"], len(places)))
        self.waiting = [job["id"] for job in queued]
        self._spawn(self._run())
        self._wish.set()

    async def close(self) -> None:
        """Stop; what runs fails in words, what waits goes on at the next start."""
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.worker.close()
        if self.running is not None:
            self._end("failed", "the studio was closed while this ran; ask for it again")

    def add(self, kind: str, settings: dict[str, Any]) -> str:
        """Put a job at the end of the queue and return its id.

        Raises:
            UsageError: The queue is full.
        """
        if len(self.waiting) >= WAITING:
            raise UsageError(f"{WAITING} jobs wait already; cancel some, or wait for them")
        job = self.store.add(kind, settings)
        self.waiting.append(job)
        self.events.tell({"type": "queued", "job": job, "kind": kind})
        self._wish.set()
        return job

    def cancel(self, job: str) -> dict[str, Any]:
        """End a job: at once if it waits, after its present step if it runs."""
        if job in self.waiting:
            self.waiting.remove(job)
            self.store.write_state(job, "cancelled", message="cancelled before it began")
            self.events.tell({"type": "cancelled", "job": job})
        elif job == self.running and self._asked_to_stop != job:
            self._asked_to_stop = job
            self._spawn(self._stop(job))
        return self.read(job)

    def move(self, job: str, before: str | None) -> list[str]:
        """Put a waiting job before another, or at the end; returns the new order.

        Raises:
            UsageError: One of them does not wait.
        """
        if job not in self.waiting or (before is not None and before not in self.waiting):
            raise UsageError("only jobs that wait can change places; this one has begun or ended")
        if job != before:
            order = [name for name in self.waiting if name != job]
            order.insert(len(order) if before is None else order.index(before), job)
            self.store.write_order(order)
            self.waiting = order
            self.events.tell({"type": "order", "job": job, "order": list(self.waiting)})
        return list(self.waiting)

    def throw_away(self, job: str) -> None:
        """Move a job that is over into the bin.

        Raises:
            UsageError: It waits or runs.
        """
        if job == self.running or job in self.waiting:
            raise UsageError("a job that waits or runs is cancelled first, then thrown away")
        self.store.throw_away(job)
        for key in [key for key in self.previews if key[0] == job]:
            del self.previews[key]
        self.events.tell({"type": "thrown", "job": job})

    def read(self, job: str) -> dict[str, Any]:
        """A job as the disk has it, with what only memory knows: its newest step and previews."""
        found = self.store.read(job)
        if job == self.running:
            found |= self._facts
        shown = {name: version for (of, name), (version, _) in self.previews.items() if of == job}
        return found | {"previews": shown}

    async def all(self) -> list[dict[str, Any]]:
        """All jobs, oldest first, read beside the event loop: there may be thousands.

        For a list, so without what is long: of its facts those that are one value, of its settings
        none that takes more than `LISTED` characters; `long` names those that are not there.
        """
        found = await asyncio.to_thread(self.store.all)
        places = {job: place for place, job in enumerate(self.waiting)}
        now: dict[str, dict[str, Any]] = {job: {"place": place} for job, place in places.items()}
        if self.running is not None:
            now[self.running] = dict(self._facts)
        for (job, name), (version, _) in self.previews.items():
            now.setdefault(job, {}).setdefault("previews", {})[name] = version
        return [_listed(job | now.get(job["id"], {})) for job in found]

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        while True:
            await self._wish.wait()
            self._wish.clear()
            while self.waiting:
                self.running = job = self.waiting.pop(0)
                self._facts, self._asked_to_stop = {}, None
                self._free.clear()
                try:
                    found = self.store.read(job)
                    self.store.write_state(job, "running", message="the worker is starting")
                    self.events.tell({"type": "starting", "job": job})
                    folder, settings = str(self.store.path(job).absolute()), found["settings"]
                    asked = {"kind": found["kind"], "settings": settings, "folder": folder}
                    await self.worker.send({"type": "run", "job": job, **asked})
                except (DemistError, OSError) as error:
                    self._end("failed", str(error))
                await self._free.wait()

    async def _stop(self, job: str) -> None:
        with contextlib.suppress(DemistError):
            await self.worker.send({"type": "cancel", "job": job})
        await asyncio.sleep(GRACE)
        if self.running == job:
            self.worker.kill()

    def _heard(self, header: dict[str, Any], data: bytes) -> None:
        """A frame of the worker about the job it has."""
        job, kind = header["job"], header["type"]
        if job != self.running:
            return
        if kind == "preview":
            self._keep(job, header["name"], data)
            self.events.tell(header | {"version": self._version})
        elif kind == "step":
            self._facts |= {key: header[key] for key in ("step", "of", "seconds", "facts")}
            self.events.tell(header)
        elif kind == "warned":
            self._facts.setdefault("warnings", []).append(header["message"])
            self.events.tell(header)
        elif kind == "started":
            with self._storage(job):
                self.store.write_state(job, "running")
            self.events.tell(header)
        else:
            self._end(kind, header.get("message"))

    def _died(self, reason: str) -> None:
        if self.running is None:
            return
        if self._asked_to_stop == self.running:
            words = f"cancelled; it did not stop in {GRACE:.0f} s, so its process was ended"
            self._end("cancelled", words)
        else:
            self._end("failed", reason)

    def _end(self, state: str, message: str | None = None) -> None:
        job, self.running = self.running, None
        assert job is not None
        facts = self._facts | ({"message": message} if message else {})
        with self._storage(job):
            self.store.write_state(job, state, **facts)
        self.events.tell({"type": state, "job": job, "message": message})
        self._free.set()

    @contextlib.contextmanager
    def _storage(self, job: str) -> Any:
        """A full disk is said on the page; it does not end the server."""
        try:
            yield
        except (OSError, DemistError) as error:
            words = f"the state of {job} cannot be written: {error}"
            self.events.tell({"type": "warning", "job": job, "message": words})

    def _keep(self, job: str, name: str, data: bytes) -> None:
        self._version += 1
        self.previews.pop((job, name), None)
        self.previews[job, name] = self._version, data
        while sum(len(kept) for _, kept in self.previews.values()) > PREVIEWS:
            del self.previews[next(iter(self.previews))]


def _listed(job: dict[str, Any]) -> dict[str, Any]:
    """A job as a list shows it; see `Queue.all`."""
    facts, settings = job.get("facts"), job.get("settings", {})
    if isinstance(facts, dict):
        plain = {k: v for k, v in facts.items() if not isinstance(v, list | dict)}
        job = job | {"facts": plain}
    long = [name for name, value in settings.items() if len(json.dumps(value)) > LISTED]
    if not long:
        return job
    short = {name: value for name, value in settings.items() if name not in long}
    return job | {"settings": short, "long": long}
