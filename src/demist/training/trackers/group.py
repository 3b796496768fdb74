"""The trackers of one run, none of which can end it."""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from demist.config import parse_list
from demist.errors import DemistError
from demist.io.files import read_json, write_json
from demist.training.trackers import TRACKERS
from demist.training.trackers.tracker import Beginning, Session, Tracker

FILE = "trackers.json"
"""In the run's folder: name of a tracker -> the identity of the run there."""


def open_trackers(spec: str | None) -> dict[str, Tracker]:
    """The trackers that `--log` names, by name.

    Raises:
        UsageError: An option makes no sense.
        MissingError: One needs a package that is not installed.
    """
    trackers = [TRACKERS.make(one) for one in parse_list(spec or "")]
    for tracker in trackers:
        tracker.require()
    return {tracker.name: tracker for tracker in trackers}


class Trackers:
    """Passes on what is logged. A tracker that fails is named once, and training goes on.

    Args:
        trackers: By name.
        say: Called with a sentence.
    """

    def __init__(self, trackers: Mapping[str, Tracker], say: Callable[[str], None]) -> None:
        self._trackers, self._say = trackers, say
        self._sessions: dict[str, Session] = {}
        self._failed: set[str] = set()
        self._drawn: Path | None = None

    def begin(self, folder: Path, options: Mapping[str, Any], step: int) -> None:
        """Begin a run in every tracker, or go on with those that the run's folder names.

        Args:
            folder: Of the run.
            options: Of the run.
            step: Steps done.
        """
        known = _read(folder / FILE) if self._trackers else {}
        for name in self._trackers:
            run = Beginning(folder, options, step, known.get(name, ""))
            self._try(name, partial(self._begin, name, run))
        now = known | {name: session.identity for name, session in self._sessions.items()}
        if now != known:
            self._try("trackers.json", lambda: write_json(folder / FILE, now))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Pass on values of a step, by name."""
        found = {name: value for name, value in values.items() if name != "step"}
        for name, session in self._sessions.items():
            self._try(name, partial(session.log, found, step))

    def draw(self, path: Path, step: int) -> None:
        """Pass on an image, if it was drawn; the same one only once."""
        if path == self._drawn or not path.exists():
            return
        self._drawn = path
        for name, session in self._sessions.items():
            self._try(name, partial(session.draw, path, step))

    def close(self, state: str) -> None:
        """Say how the run ended: done, stopped or failed."""
        for name, session in self._sessions.items():
            self._try(name, partial(session.close, state))
        self._sessions = {}

    def _begin(self, name: str, run: Beginning) -> None:
        self._sessions[name] = self._trackers[name].begin(run)

    def _try(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # whatever a program of others raises
            if name not in self._failed:
                self._failed.add(name)
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                self._say(f"cannot log to {name}: {reason}; training goes on")


def _read(path: Path) -> dict[str, str]:
    """The identities kept in a run's folder; of a damaged file none, so that new runs begin."""
    with contextlib.suppress(DemistError):
        return {name: str(identity) for name, identity in read_json(path).items()}
    return {}
