"""Jobs on the disk: what was asked, how it stands, and the files it made.

```
studio/jobs/000007-check/
  job.json     format, kind, settings, when it was asked for; written once
  state.json   state, message; at the end also step, of, seconds; replaced whole
  ...          files of the job
studio/order.json   what waits, in order, once somebody moved a job; others follow by their numbers
studio/bin/    jobs that were thrown away, until somebody empties it
```

A reload of the page and a restart of the server show the same, because there is nothing else.
"""

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demist.errors import DataError, DemistError, MissingError
from demist.io import files
from demist.io.untrusted import inside
from demist.runs import now

FORMAT = 1
STATES = ("queued", "running", "done", "failed", "cancelled")
OVER = ("done", "failed", "cancelled")
"""States that do not change any more."""
_ID = re.compile(r"\d{6,9}-[a-z][a-z0-9_]{0,39}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}(\.[A-Za-z0-9]{1,16}){1,2}")
_OWN = ("job.json", "state.json")


def is_id(text: str) -> bool:
    """Whether a text has the form of a job's id."""
    return _ID.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Whether a text is a plain name of a file, without a way out of its folder."""
    return _FILE.fullmatch(text) is not None


@dataclass(frozen=True)
class Store:
    """The jobs below a folder."""

    folder: Path

    @property
    def jobs(self) -> Path:
        """Folder of the jobs."""
        return self.folder / "jobs"

    def ids(self) -> list[str]:
        """All jobs, oldest first."""
        names = os.listdir(self.jobs) if self.jobs.is_dir() else []
        return sorted(filter(is_id, names), key=lambda name: (int(name.split("-")[0]), name))

    def path(self, job: str) -> Path:
        """The folder of a job.

        Raises:
            MissingError: There is no such job.
        """
        if not is_id(job) or not (path := self.jobs / job).is_dir():
            raise MissingError(f"there is no job {job[:60]!r}; it may have been thrown away")
        return path

    def add(self, kind: str, settings: dict[str, Any]) -> str:
        """Make the next job and return its id; it is there whole or not at all."""
        self.jobs.mkdir(parents=True, exist_ok=True)
        numbers = [int(name.split("-")[0]) for name in (*self.ids(), *self._thrown())]
        job = f"{max(numbers, default=0) + 1:06d}-{kind}"
        new = self.jobs / f".{job}"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        asked = {"format": FORMAT, "kind": kind, "settings": settings, "made": now()}
        files.write_json(new / "job.json", asked)
        files.write_json(new / "state.json", {"state": "queued"})
        new.rename(self.jobs / job)
        files.sync(self.jobs)
        return job

    def read(self, job: str) -> dict[str, Any]:
        """What was asked, how it stands and which files there are.

        Raises:
            MissingError: There is no such job.
            DataError: Its files are damaged.
        """
        path = self.path(job)
        asked, state = (files.read_json(inside(path, name)) for name in _OWN)
        proper = isinstance(asked.get("kind"), str) and isinstance(asked.get("settings"), dict)
        if asked.get("format") != FORMAT or state.get("state") not in STATES or not proper:
            raise DataError(f"{path} is damaged, or of another version of demist")
        names = sorted(e.name for e in os.scandir(path) if e.is_file(follow_symlinks=False))
        made = [name for name in names if is_file_name(name) and name not in _OWN]
        asked.pop("format")
        return {"id": job, **asked, **state, "files": made}

    def all(self) -> list[dict[str, Any]]:
        """Every job that can be read, oldest first; a damaged one is shown as failed, in words."""
        found = []
        for job in self.ids():
            try:
                found.append(self.read(job))
            except (DemistError, OSError) as error:
                if not (self.jobs / job).is_dir():  # just thrown away
                    continue
                kind = job.partition("-")[2]
                found.append({"id": job, "kind": kind, "state": "failed", "message": str(error)})
        return found

    def write_state(self, job: str, state: str, **facts: Any) -> dict[str, Any]:
        """Replace how a job stands, and return it."""
        value = {"state": state, "updated": now(), **facts}
        files.write_json(self.path(job) / "state.json", value)
        return value

    def order(self) -> list[str]:
        """The order in which jobs wait, as it was last decided; some may be over."""
        with suppress(DemistError, OSError):
            listed = files.read_json(inside(self.folder, "order.json")).get("waiting")
            if isinstance(listed, list):
                return [job for job in listed if isinstance(job, str)]
        return []

    def write_order(self, waiting: list[str]) -> None:
        """Replace it: one file, however many wait."""
        files.write_json(self.folder / "order.json", {"waiting": waiting})

    def file(self, job: str, name: str) -> Path:
        """A file of a job.

        Raises:
            MissingError: There is none of that name.
            RefusedError: It is a link that leads elsewhere.
        """
        path = self.path(job)
        if not is_file_name(name) or name in _OWN or not (path / name).is_file():
            raise MissingError(f"job {job} has no file {name[:80]!r}")
        return inside(path, name)

    def throw_away(self, job: str) -> None:
        """Move a job into the bin."""
        path = self.path(job)
        (self.folder / "bin").mkdir(exist_ok=True)
        path.rename(self.folder / "bin" / job)

    def bring_back(self, job: str) -> None:
        """Take a job out of the bin.

        Raises:
            MissingError: It is not there.
        """
        if not is_id(job) or not (self.folder / "bin" / job).is_dir():
            raise MissingError(f"there is no job {job[:60]!r} in the bin")
        (self.folder / "bin" / job).rename(self.jobs / job)

    def thrown(self) -> list[dict[str, Any]]:
        """Id, kind and number of files of each job in the bin, oldest first."""
        found = sorted(self._thrown(), key=lambda name: int(name.split("-")[0]))
        return [
            {"id": job, "kind": job.partition("-")[2], "files": len(os.listdir(place))}
            for job in found
            if (place := self.folder / "bin" / job).is_dir()
        ]

    def _thrown(self) -> list[str]:
        place = self.folder / "bin"
        return [name for name in os.listdir(place) if is_id(name)] if place.is_dir() else []
