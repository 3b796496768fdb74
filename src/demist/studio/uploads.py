"""Pictures that people bring: taken in as bytes, decoded in the worker, kept as it wrote them anew.

The server never looks into what it was sent. What is kept is a PNG of our own making, named by its
content, so that the same picture is kept once. There is room for so many, and so many bytes: then
those that were not used for the longest time make room, but not those that a job names.
"""

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from demist.errors import DataError, DemistError, MissingError, TryAgainError, UsageError
from demist.io.files import read_json
from demist.io.untrusted import inside
from demist.studio.supervisor import Supervisor

KEPT, BYTES, AT_ONCE = 500, 2**30, 4
"""Pictures that are kept, their bytes, and how many come in at the same time."""
_ID = re.compile(r"[0-9a-f]{24}")


class Uploads:
    """The pictures below `<studio folder>/uploads`."""

    def __init__(self, folder: Path, worker: Supervisor):
        self.folder, self.worker = folder / "uploads", worker
        self._coming = 0

    def path(self, upload: str) -> Path:
        """The folder of a picture, which is used by that.

        Raises:
            MissingError: There is none.
        """
        found = locate(upload, self.folder)
        with suppress(OSError):
            os.utime(found)
        return found

    def read(self, upload: str) -> dict[str, Any]:
        """What is known of a picture: width, height, what it was, and its recipe if it has one."""
        return {"id": upload, **read_json(inside(self.path(upload), "upload.json"))}

    def remove(self, upload: str) -> None:
        """Forget a picture."""
        path = self.path(upload)
        for name in ("upload.json", "image.png"):
            (path / name).unlink(missing_ok=True)
        path.rmdir()

    async def take(self, body: AsyncIterator[bytes]) -> dict[str, Any]:
        """Take in a picture, part by part: it is never whole in the server's memory.

        Raises:
            TryAgainError: Too many come at once.
            UsageError: Too many are kept, or there is nothing.
            DataError: It is no picture that can be read.
        """
        if self._coming >= AT_ONCE:
            raise TryAgainError(f"{AT_ONCE} pictures come in at this moment; try again")
        self._coming += 1
        place = self.folder / f".coming-{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(self._room)
            size = 0
            with place.open("wb") as file:
                async for part in body:
                    size += len(part)
                    await asyncio.to_thread(file.write, part)
            if not size:
                raise UsageError("the upload is empty; drop a picture")
            asked = {"type": "upload", "file": str(place.absolute())}
            found = await self.worker.ask({**asked, "to": str(self.folder.absolute())})
            if not isinstance(found, str):
                raise DataError("the worker gave no name for the picture")
            return self.read(found)
        finally:
            self._coming -= 1
            with suppress(OSError):
                place.unlink()

    def _room(self) -> None:
        """Make room for one more.

        Raises:
            UsageError: All that is kept is named by jobs.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {path.name: path for path in self.folder.iterdir() if _ID.fullmatch(path.name)}
        sizes = {name: _size(path) for name, path in kept.items()}
        if len(kept) < KEPT and sum(sizes.values()) < BYTES:
            return
        named = self._named(set(kept))
        for name in sorted(kept.keys() - named, key=lambda name: kept[name].stat().st_mtime):
            self.remove(name)
            del sizes[name]
            if len(sizes) < KEPT and sum(sizes.values()) < BYTES:
                return
        raise UsageError(
            f"there is room for {KEPT} pictures and {BYTES / 2**20:.0f} MiB, and the jobs on the "
            f"disk need the {len(sizes)} that are kept; throw jobs away, and remove "
            f"{self.folder.parent / 'bin'}"
        )

    def _named(self, kept: set[str]) -> set[str]:
        """Those that a job names; one in the bin can come back."""
        found: set[str] = set()
        for file in (*self.folder.parent.glob("jobs/*/job.json"),
                     *self.folder.parent.glob("bin/*/job.json")):  # fmt: skip
            with suppress(DemistError, OSError):
                settings = read_json(file).get("settings")
                values = settings.values() if isinstance(settings, dict) else ()
                found |= {value for value in values if isinstance(value, str)} & kept
        return found


def _size(path: Path) -> int:
    with suppress(OSError):
        return sum(file.stat().st_size for file in path.iterdir())
    return 0


def locate(upload: str, folder: Path) -> Path:
    """The folder of a picture by its id, in `folder`.

    Raises:
        MissingError: There is none.
    """
    if not _ID.fullmatch(upload) or not (folder / upload).is_dir():
        raise MissingError(f"there is no picture {upload[:40]!r}; upload it again")
    return inside(folder, upload)
