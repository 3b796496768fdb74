"""The run folder: the contract between the trainer, the command line and every later reader.

```
runs/0007-digits/
  config.toml        every option, resolved              command.txt   how it was started
  environment.json   versions, processor, threads        status.json   state, pid, step, times
  metrics.jsonl      one line per logged step            loss.png      the same, drawn
  samples/step-000500.png     the same noise every time
  checkpoints/step-00000500/  see `demist.runs.checkpoint`
  data.json          what was understood of the data   lock          held by the one writer
  control/           wishes to the trainer; see `demist.runs.control`
  bad_files.jsonl    unreadable inputs, if any
  stages/            what was trained before it, if anything; see `demist.runs.stages`
  skipped.jsonl      steps skipped for NaN or infinity, with the items they saw
  model.json         the model but for its weights     model/    the finished model
  autoencoder/       the network of its codec, if that has one: not trained, kept as it was
  base/              the model that it started from, if it did: kept as it was
  summary.json, summary.md
```

Reading needs no torch. Files are replaced atomically; metrics are only ever appended to.
"""

import contextlib
import errno
import os
import re
import shlex
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from demist.config import TrainConfig, update
from demist.errors import (
    CannotCreateError,
    DataError,
    LockedError,
    MissingError,
    StorageError,
    remedy,
)
from demist.io import files
from demist.io.files import read_json
from demist.io.untrusted import inside
from demist.machine import locks
from demist.runs.environment import environment
from demist.runs.options import config_text, read_options

STATES = ("running", "stopped", "done", "failed")
EARLIER: dict[str, Any] = {
    "optimizer": "adamw", "clock": "log-snr", "bounded": False, "mid_positions": None,
    "exact_sums": False, "stable_targets": 0,
}  # fmt: skip
"""What a run was made with, if its configuration is older than the option."""
TYPES: Mapping[str, type] = {"state": str, "step": int, "updated": str, "message": str}
"""What is read of a status."""
_FOLDER = re.compile(r"(\d{4,})-(.+)")


@dataclass(frozen=True)
class Run:
    """One run folder."""

    path: Path

    def __repr__(self) -> str:
        return f"<Run {self.path}>"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: the newest samples."""
        drawn = sorted(self.image(0).parent.glob("step-*.png"))
        return drawn[-1].read_bytes() if drawn else None

    @property
    def number(self) -> int:
        """7 of `0007-digits`; 0 for a folder named otherwise."""
        match = _FOLDER.fullmatch(self.path.name)
        return int(match[1]) if match else 0

    @property
    def name(self) -> str:
        """`digits` of `0007-digits`; all of it for a folder named otherwise."""
        match = _FOLDER.fullmatch(self.path.name)
        return match[2] if match else self.path.name

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """File of metrics, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def skipped(self) -> Path:
        """File of the steps skipped for NaN or infinity, one JSON object per line."""
        return self.path / "skipped.jsonl"

    @property
    def description(self) -> Path:
        """File that describes the model but for its weights."""
        return self.path / "model.json"

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.path / "model"

    @property
    def begun(self) -> bool:
        """Whether it has options; a folder without them was left by a trainer killed at once."""
        try:
            (self.path / "config.toml").lstat()
        except OSError as error:
            return not isinstance(error, FileNotFoundError | NotADirectoryError)
        return True

    def image(self, step: int) -> Path:
        """Where the samples drawn after `step` steps go."""
        return self.path / "samples" / f"step-{step:06d}.png"

    def config(self) -> TrainConfig:
        """The resolved options the run was started (or last resumed) with."""
        return read_options(inside(self.path, "config.toml"), update(TrainConfig(), EARLIER))

    def status(self) -> dict[str, Any]:
        """status.json; its state is `"killed"` if it says running but no process holds the lock."""
        try:
            status = read_json(inside(self.path, "status.json"))
        except MissingError:
            if not (self.path / "config.toml").exists():
                raise
            status = {"state": "running"}  # it has only just begun
        wrong = [
            key for key, kind in TYPES.items() if not isinstance(status.get(key, kind()), kind)
        ]
        if wrong:
            raise DataError(f"{self.path / 'status.json'} is damaged: its {wrong[0]!r} is no value")
        if status.get("state") == "running" and not self.is_locked():
            status["state"] = "killed"
        return status

    def write_status(self, state: str, **facts: Any) -> None:
        """Replace status.json: `state` is one of `STATES`; `facts` are JSON values."""
        status = {"state": state, "pid": os.getpid(), "host": socket.gethostname()}
        files.write_json(self.path / "status.json", status | {"updated": now()} | facts)

    def is_locked(self) -> bool:
        """Whether a living process writes here; changes nothing."""
        try:
            flags = locks.CLOSE_ON_EXEC | locks.NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
            handle = os.open(self.path / "lock", os.O_RDONLY | flags)
        except OSError:
            return False
        try:
            return not locks.lock(handle, shared=True)
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only writer. The system releases the lock when the process ends, however it ends.

        Raises:
            LockedError: Another process writes here; its pid is named.
        """
        flags = locks.CLOSE_ON_EXEC | locks.NO_FOLLOW
        handle = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | flags, 0o666)
        try:
            if not _taken(handle):
                os.lseek(handle, 0, os.SEEK_SET)
                holder = os.read(handle, 200).decode(errors="replace").strip()
                raise LockedError(
                    f"{self.path} is being written by process {holder or 'unknown'}; "
                    f"wait for it, or stop it, before using this folder"
                )
            with contextlib.suppress(OSError):  # a full disk has room for a lock but not for a name
                os.ftruncate(handle, 0)
                os.lseek(handle, 0, os.SEEK_SET)
                os.write(handle, f"{os.getpid()} on {socket.gethostname()}\n".encode())
            yield
        finally:
            os.close(handle)


def now() -> str:
    """The time of day in UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def create(
    root: str | os.PathLike[str],
    name: str,
    config: TrainConfig | None = None,
    prepare: Callable[[Run], None] | None = None,
) -> Run:
    """Make the next run folder, such as `runs/0007-digits`; safe among concurrent callers.

    Args:
        root: Folder in which run folders are.
        name: What this one is called behind its number.
        config: Its options, so that it never is without: it appears with them or not at all.
        prepare: Writes what else must be there from the beginning.

    Raises:
        CannotCreateError: The folder cannot be made here.
        StorageError: The disk is full.
    """
    root = Path(root)
    slug = slug_of(name) or "run"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _folder_lock(root):
            for left in root.glob(".[0-9]*-*"):  # of one that was killed here
                shutil.rmtree(left, ignore_errors=True)
            number = max((run.number for run in all_runs(root)), default=0) + 1
            run, new = Run(root / f"{number:04d}-{slug}"), Run(root / f".{number:04d}-{slug}")
            try:
                new.path.mkdir()
                (new.path / "samples").mkdir()
                new.checkpoints.mkdir()
                if config is not None:
                    write_options(new, config)
                if prepare is not None:
                    prepare(new)
                os.rename(new.path, run.path)
                files.sync(root)
            finally:
                shutil.rmtree(new.path, ignore_errors=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO)
        raise (StorageError if full else CannotCreateError)(
            f"cannot make a run folder in {root}: {error.strerror}; {remedy(error)}, or choose "
            f"another with --runs"
        ) from None
    return run


def slug_of(name: str) -> str:
    """A name as the folder of a run has it: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]


def all_runs(root: str | os.PathLike[str]) -> list[Run]:
    """The run folders in `root`, by number."""
    root = Path(root)
    names = [entry.name for entry in root.iterdir() if entry.is_dir()] if root.is_dir() else []
    return sorted(
        (Run(root / name) for name in names if _FOLDER.fullmatch(name)), key=lambda run: run.number
    )


def begin(run: Run, config: TrainConfig, command: Sequence[str]) -> None:
    """Record the resolved options, the command and the environment, before training."""
    write_options(run, config)
    with (run.path / "command.txt").open("a", encoding="utf-8") as file:
        file.write(shlex.join(command) + "\n")
    files.write_json(run.path / "environment.json", environment())


def resume_command(run: Run) -> str:
    """What to type to go on with `run`."""
    return f"demist train --resume {shlex.quote(str(run.path))}"


def write_options(run: Run, config: TrainConfig) -> None:
    """Write config.toml."""
    files.write_text(run.path / "config.toml", config_text(config))


def _taken(handle: int) -> bool:
    """Take a lock; who only looks whether it is held may hold it for a moment."""
    for _ in range(10):
        if locks.lock(handle):
            return True
        time.sleep(0.02)
    return False


@contextlib.contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    handle = locks.open_folder(folder)
    try:
        locks.lock(handle, wait=True)
        yield
    finally:
        os.close(handle)
